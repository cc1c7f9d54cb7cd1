# SPDX-License-Identifier: Apache-2.0
"""Images per second of the lens simulator, against lenstronomy (NumPy) and jaxtronomy.

    python benchmarks/lens_simulator.py
    python benchmarks/lens_simulator.py --batch 4096 --only astrojax       # on an accelerator

All draw the same scenes: power law and shear, Sersic lens light, two core-Sersic sources, the same
PSF and supersampling, no noise. The images are compared, so that equal work is not only claimed.
jaxtronomy has to be vmapped or mapped over lenses; both are timed, in float64, which its
deflection was made for, and float32. The last lines are whole pairs, with their scenes drawn and
noise added, as a training step has them. Readings of all simulators alternate; the best and the
median are printed, on a shared machine the median of a quiet hour is what counts.
"""

import argparse
import functools
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from astrojax.simulate.lens import simulator as simulator
from astrojax.simulate.lens.deflection import Lens
from astrojax.simulate.lens.lens_scene import HST, LENSIAM, Light, Scene, draw_scene
from astrojax.simulate.profiles import sersic_b

LENS_MODELS = ["EPL", "SHEAR"]


def scenes(sim: simulator.Simulator, seed: int, count: int) -> tuple[Lens, Scene]:
    """Lenses and what goes with them; every scene has its two sources shine."""
    keys = jax.random.split(jax.random.key(seed), count)

    def one(key):
        lens = sim.draw_lens(jax.random.fold_in(key, 0))
        scene = draw_scene(
            jax.random.fold_in(key, 1),
            lens,
            population=sim.population,
            observation=sim.observation,
            psfs=len(sim.psfs),
            stamps=0,
        )
        return lens, scene

    return jax.jit(jax.vmap(one))(keys)


def render_all(sim: simulator.Simulator, lenses: Lens, drawn: Scene) -> jax.Array:
    """Noise-free images [b h w]."""
    o = sim.observation

    def one(lens, scene):
        return simulator.render(
            lens,
            scene,
            sim.psfs[scene.psf],
            stamps=None,
            stamp_scale=1.0,
            stamp=o.stamp,
            pixel_scale=o.pixel_scale,
            supersampling=o.supersampling,
            centre_supersampling=o.supersampling,
            terms=sim.terms,
        )

    return jax.vmap(one)(lenses, drawn)


def keywords(lens: Lens, scene: Scene) -> tuple[list[dict], list[dict], list[dict]]:
    """Lens, lens-light and source arguments of lenstronomy for one scene, in float64.

    lenstronomy rounds b(n) to 1.9992 n - 0.3271; the same profile has another half-light radius
    there.
    """
    p = {name: float(v) for name, v in lens._asdict().items()}
    shear = {"gamma1": p.pop("gamma1"), "gamma2": p.pop("gamma2")}

    def one(light: Light) -> dict[str, float]:
        g = {name: float(v) for name, v in light._asdict().items()}
        n, b = g["n"], float(sersic_b(g["n"]))
        approximate = 1.9992 * n - 0.3271
        centre = g["flux"] * b ** (2 * n) / (2 * np.pi * n * g["half_light"] ** 2)
        return {
            "amp": centre / special.gamma(2 * n) * np.exp(-approximate),
            "R_sersic": g["half_light"] * (approximate / b) ** n,
            "n_sersic": n,
            "e1": g["e1"],
            "e2": g["e2"],
            "center_x": g["x"],
            "center_y": g["y"],
            # The break radius in arcsec, its inner slope.
            "Rb": max(g["core"], 1e-6) * g["half_light"],
            "gamma": g["cusp"],
        }

    light = one(scene.light)
    del light["Rb"], light["gamma"]
    sources = [one(jax.tree.map(lambda leaf, k=k: leaf[k], scene.sources)) for k in range(2)]
    return [p, shear], [light], sources


def oracle(sim: simulator.Simulator) -> Callable[[Lens, Scene], np.ndarray]:
    """A function that draws one scene with lenstronomy [h w]."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    o = sim.observation
    edge = -(o.stamp - 1) / 2 * o.pixel_scale
    data = ImageData(
        image_data=np.zeros((o.stamp, o.stamp)),
        ra_at_xy_0=edge,
        dec_at_xy_0=edge,
        transform_pix2angle=np.eye(2) * o.pixel_scale,
        background_rms=1.0,
        exposure_time=1.0,
    )
    models = [
        ImageModel(
            data,
            PSF(psf_type="PIXEL", kernel_point_source=np.asarray(psf, float)),
            lens_model_class=LensModel(LENS_MODELS),
            lens_light_model_class=LightModel(["SERSIC_ELLIPSE"]),
            source_model_class=LightModel(["CORE_SERSIC"] * 2),
            kwargs_numerics={"supersampling_factor": o.supersampling},
        )
        for psf in sim.psfs
    ]

    def draw(lens: Lens, scene: Scene) -> np.ndarray:
        masses, light, sources = keywords(lens, scene)
        return models[int(scene.psf)].image(
            kwargs_lens=masses, kwargs_source=sources, kwargs_lens_light=light
        )

    return draw


def rays(sim: simulator.Simulator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of all sub-pixels, flat, arcsec."""
    o = sim.observation
    fine = o.stamp * o.supersampling
    axis = (np.arange(fine) - (fine - 1) / 2) * o.pixel_scale / o.supersampling
    x, y = np.meshgrid(axis, axis)
    return x.ravel(), y.ravel()


def jaxtronomy_image(sim: simulator.Simulator) -> Callable[..., jax.Array]:
    """One image by jaxtronomy's lens and light models; PSF and pixels as in `simulator.render`."""
    from jaxtronomy.LensModel.lens_model import LensModel
    from jaxtronomy.LightModel.light_model import LightModel

    from astrojax.simulate.profiles import convolve

    o = sim.observation
    lens_model = LensModel(LENS_MODELS)
    light_model = LightModel(["SERSIC_ELLIPSE"])
    source_model = LightModel(["CORE_SERSIC"] * 2)

    def one(masses: list[dict], light: list[dict], sources: list[dict], psf: jax.Array) -> Any:
        x, y = (jnp.asarray(v, psf.dtype) for v in rays(sim))
        beta_x, beta_y = lens_model.ray_shooting(x, y, masses)
        flux = light_model.surface_brightness(x, y, light)
        flux += source_model.surface_brightness(beta_x, beta_y, sources)
        s = o.supersampling
        image = flux.reshape(o.stamp, s, o.stamp, s).sum((1, 3)) * (o.pixel_scale / s) ** 2
        return convolve(image, psf)

    return one


def stacked(lenses: Lens, drawn: Scene, psfs: jax.Array, dtype: Any) -> tuple[Any, ...]:
    """`keywords` of every scene as arrays, with its PSF."""
    all_keywords = [
        keywords(*jax.tree.map(lambda leaf, i=i: leaf[i], (lenses, drawn)))
        for i in range(len(drawn.psf))
    ]
    arrays = jax.tree.map(lambda *leaves: jnp.asarray(leaves, dtype), *all_keywords)
    return (*arrays, jnp.asarray(psfs, dtype)[np.asarray(drawn.psf)])


def report(timers: dict[str, tuple[int, Callable[[], Any]]], repeats: int) -> None:
    """Times each in turn, `repeats` times, after one call that compiles."""
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    for _, run in timers.values():
        jax.block_until_ready(run())
    for _ in range(repeats):
        for name, (_, run) in timers.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - start)
    for name, (count, _) in timers.items():
        best, median = min(seconds[name]), float(np.median(seconds[name]))
        print(f"{name:34s} {count / best:10.0f} best {count / median:10.0f} median images/s")


def main() -> None:
    """Parses the flags and prints one line a simulator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32, help="scenes in a batch")
    parser.add_argument("--few", type=int, default=8, help="scenes a reading of the slow ones")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["astrojax"], help="leave the other simulators out")
    flags = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    sim = simulator.simulator(LENSIAM, HST)
    lenses, drawn = scenes(sim, 0, flags.batch)
    draw = jax.jit(render_all)
    pairs = jax.jit(lambda sim, keys, lenses: jax.vmap(sim.pair)(keys, lenses))
    keys = jax.random.split(jax.random.key(1), flags.batch)
    timers = {
        "astrojax float32": (flags.batch, lambda: draw(sim, lenses, drawn)),
        "astrojax pairs, all included": (2 * flags.batch, lambda: pairs(sim, keys, lenses)),
    }
    if not flags.only:
        timers |= others(sim, lenses, drawn, min(flags.few, flags.batch))
    report(timers, flags.repeats)


def others(sim: simulator.Simulator, lenses: Lens, drawn: Scene, few: int) -> dict[str, Any]:
    """Timers of lenstronomy and jaxtronomy, after their images were compared with ours."""
    some = [jax.tree.map(lambda leaf, i=i: leaf[i], (lenses, drawn)) for i in range(few)]
    ours = np.asarray(jax.jit(render_all)(sim, lenses, drawn))[:few]
    numpy_draw = oracle(sim)
    theirs = {"lenstronomy": np.stack([numpy_draw(*pair) for pair in some])}
    timers = {"lenstronomy": (few, lambda: [numpy_draw(*pair) for pair in some])}
    head = jax.tree.map(lambda leaf: leaf[:few], (lenses, drawn))
    one = jaxtronomy_image(sim)
    for precise in (True, False):
        with jax.enable_x64(precise):
            arguments = stacked(*head, sim.psfs, np.float64 if precise else np.float32)
            label = f"jaxtronomy float{64 if precise else 32}"
            ways = {
                f"{label} vmap": jax.jit(jax.vmap(one)),
                f"{label} lax.map": jax.jit(lambda *a: jax.lax.map(lambda b: one(*b), a)),
            }
            for name, fn in ways.items():
                theirs[name] = np.asarray(fn(*arguments))
                timers[name] = (few, functools.partial(_with_x64, precise, fn, arguments))
    for name, images in theirs.items():
        error = np.abs(images - ours).max((1, 2)) / ours.max((1, 2))
        print(f"{name:34s} differs from astrojax by {error.max():.1e} of the peak at most")
    return timers


def _with_x64(precise: bool, fn: Callable, arguments: tuple) -> Any:
    with jax.enable_x64(precise):
        return jax.block_until_ready(fn(*arguments))


if __name__ == "__main__":
    main()
