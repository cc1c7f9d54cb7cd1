# SPDX-License-Identifier: Apache-2.0
"""`astrojax label`: the page over HTTP, and what a kill leaves."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from astrojax.cli import label
from astrojax.inference import contact_sheet, labelling, search
from astrojax.inference.label_file import LabelFile
from astrojax.inference.label_server import LabelServer
from astrojax.inference.stamp_pictures import Pictures

CLASSES = ("round", "edge-on", "<b>ring</b>")


@pytest.fixture
def server(groups, tmp_path):
    rows, file = search.Rows(groups[0]), LabelFile(tmp_path / "labels.csv")
    options = {"order": "uncertainty", "examples": (), "limit": 1000, "refit_every": 10, "seed": 0}
    work = labelling.begin(rows, file, classes=CLASSES, **options)
    pictures = Pictures(contact_sheet.images_of(rows.path, None))
    with LabelServer(work, pictures, title="<i>mine</i>") as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
    file.close()


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.read(), answer.headers


def post(url, name, body, **headers):
    origin = {"Origin": "http://" + urlsplit(url).netloc} | headers
    asked = urllib.request.Request(url + name, json.dumps(body).encode(), origin)
    with urllib.request.urlopen(asked) as answer:
        return json.loads(answer.read())


def status(url, method="GET", body=None, **headers):
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc)
    connection.request(method, place.path, body, headers)
    code = connection.getresponse().status
    connection.close()
    return code


def test_labels_go_from_the_page_to_the_file(server, groups, tmp_path):
    page, headers = get(server.url)
    assert b"&lt;b&gt;ring&lt;/b&gt;" in page and b"<b>ring" not in page and b"<i>mine" not in page
    assert "script-src 'self'" in headers["Content-Security-Policy"] and b"<script>" not in page
    for name in ("label.js", "label.css"):
        assert name.encode() in page and get(server.url + name)[0]
    state = json.loads(get(server.url + "state")[0])
    assert state["total"] == 89 and len(state["coming"]) == 12
    picture = Image.open(io.BytesIO(get(f"{server.url}image/{state['coming'][0]['row']}.png")[0]))
    assert picture.size == (12, 12) and np.ptp(np.asarray(picture)) > 100
    for _ in range(12):
        key = state["coming"][0]["id"]
        name = CLASSES[groups[1][int(key[1:])]]
        state = post(server.url, "label", {"id": key, "label": name})
        assert (tmp_path / "labels.csv").read_text().splitlines()[-1].startswith(f"{key},{name},")
    assert state["head"]["labels"] == 10 and sum(state["guess"].values()) == pytest.approx(1)
    skipped = state["coming"][0]["id"]
    assert post(server.url, "skip", {"id": skipped})["skipped"] == 1
    assert post(server.url, "undo", {})["coming"][0]["id"] == skipped
    assert post(server.url, "refit", {})["head"]["labels"] == 12
    with pytest.raises(urllib.error.HTTPError) as stopped:
        post(server.url, "label", {"id": key, "label": "round" if name != "round" else "edge-on"})
    assert stopped.value.code == 409 and "undo" in json.loads(stopped.value.read())["error"]
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 13


def test_nobody_else_reads_or_writes(server):
    place = urlsplit(server.url)
    other = server.url.replace(server.token, server.token[:-1] + "!")
    root = f"http://{place.netloc}/"
    for url in (root, root + "state", other, other + "state", other + "image/0.png"):
        assert status(url) == 403
    assert status(server.url, Host="evil.example:80") == 403
    assert status(server.url, Host=f"localhost:{place.port}") == 200  # through an SSH tunnel
    body = json.dumps({"id": "g000", "label": "round"})
    assert status(server.url + "label", "POST", body) == 403
    assert status(server.url + "label", "POST", body, Origin="http://evil.example") == 403
    own = {"Origin": f"http://{place.netloc}"}
    assert status(server.url + "label", "POST", "[1]", **own) == 400
    assert status(server.url + "label", "POST", "x" * 70_000, **own) == 413
    assert status(server.url + "nothing", "POST", "{}", **own) == 404
    for path in ("image/99999.png", "image/-1.png", "../../etc/passwd", "label.html"):
        assert status(server.url + path) == 404
    assert not server.work.known
    assert server.server_address[0] == "127.0.0.1"


def start(groups, out, *more):
    command = [sys.executable, "-m", "astrojax", "label", "--table", str(groups[0])]
    command += ["--out", str(out), "--classes", ",".join(CLASSES), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("open http://127.0.0.1:"), line
    return process, line.split()[1]


def test_a_kill_loses_nothing(groups, tmp_path):
    out = tmp_path / "labels.csv"
    process, url = start(groups, out)
    sent = {}
    try:
        state = json.loads(get(url + "state")[0])
        while len(sent) < 15:
            key = state["coming"][0]["id"]
            sent[key] = CLASSES[groups[1][int(key[1:])]]
            state = post(url, "label", {"id": key, "label": sent[key]})
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    found = Table.read(out)
    assert dict(zip(found["id"], found["label"], strict=True)) == sent
    predictions = tmp_path / "p.parquet"
    label.main(
        ["--table", str(groups[0]), "--out", str(out), "--refit", "--predictions", str(predictions)]
    )
    made = Table.read(predictions)
    assert len(made) == 90 and made["predicted_class"][3] == "" and made["label"][3] == ""
    right = np.array(CLASSES)[groups[1]] == made["predicted_class"]
    assert right.mean() > 0.95 and "predicted_class_probability_edge_on" in made.colnames
    assert {k: v for k, v in zip(made["id"], made["label"], strict=True) if v} == sent


def test_mistakes_are_one_sentence(groups, tmp_path, fails):
    flags = ["--out", tmp_path / "labels.csv", "--classes", "a,b"]
    assert "say what to label" in fails(label, *flags)
    flags += ["--table", groups[0]]
    assert "two classes or more" in fails(label, *flags, "--refit")
    assert "--example ID says" in fails(label, *flags, "--order", "neighbors")
    assert "no object with id 'g9'" in fails(label, *flags, "--example", "g9")
    assert "say which classes" in fails(label, *flags[:2], "--table", groups[0])
    assert "end in .csv" in fails(label, "--out", tmp_path / "labels.txt")
    os.remove(tmp_path / "images.npz")
    line = fails(label, *flags)
    assert "say with --data where they are" in line and "--no-sheet" not in line
