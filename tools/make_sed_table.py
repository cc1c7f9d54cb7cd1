# SPDX-License-Identifier: Apache-2.0
"""Make the color tables that `astrojax.simulate` ships, from the files that GalSim carries.

Run `python tools/make_sed_table.py` (needs galsim) after changing a formula here; the tables land
in `astrojax/simulate/survey/`. Each holds AB magnitudes in the survey's bands of objects whose
rest-frame flux density at 5500 Angstrom, before dust, is 1 (so only colors and k-corrections, no
distances).

Galaxies: the four templates of Coleman, Wu & Weedman (1980), E, Sbc, Scd and Im, as extended to the
ultraviolet and to 2.2 micron by Bolzonella et al. (2000); dust in the host after Calzetti et al.
(2000); hydrogen between the galaxies after Madau (1995).
CANDELS: measured throughputs of ACS F606W, F814W and WFC3 F125W, F160W.
S-PLUS: trapezoids with the central wavelengths and widths of Mendes de Oliveira et al. (2019,
table 2), an approximation to the measured curves. Stars there are black bodies with the strongest
absorption features put in by hand, quasars a power law with broad lines: proxies, not models.
"""

import argparse
from pathlib import Path

import numpy as np

TEMPLATES = ("E", "Sbc", "Scd", "Im")
CANDELS = {
    "F606W": "ACS_wfc_F606W",
    "F814W": "ACS_wfc_F814W",
    "F125W": "WFC3_ir_F125W",
    "F160W": "WFC3_ir_F160W",
}
# Central wavelength and full width at half maximum, Angstrom.
SPLUS = {
    "u": (3536, 352),
    "F378": (3770, 151),
    "F395": (3940, 103),
    "F410": (4094, 201),
    "F430": (4292, 201),
    "g": (4751, 1545),
    "F515": (5133, 207),
    "r": (6258, 1465),
    "F660": (6614, 147),
    "i": (7690, 1506),
    "F861": (8611, 410),
    "z": (8831, 1182),
}
# Rest wavelength (Angstrom), equivalent width (Angstrom): the strong broad lines of the composite
# of Vanden Berk et al. (2001), rounded.
QUASAR_LINES = ((1216, 90), (1549, 24), (1909, 21), (2798, 32), (4861, 46), (6563, 195))


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The two columns of a file in GalSim's share folder: wavelength and value."""
    import galsim

    return np.loadtxt(Path(galsim.meta_data.share_dir) / name, unpack=True)


def trapezoid(centre: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """A filter with straight edges, each a tenth of the width, `width` wide at half height."""
    edge = 0.05 * width
    half = 0.5 * width
    knots = centre + np.array([-half - edge, -half + edge, half - edge, half + edge])
    wave = np.linspace(knots[0], knots[-1], 400)
    return wave, np.interp(wave, knots, [0.0, 1.0, 1.0, 0.0])


def calzetti(wave: np.ndarray) -> np.ndarray:
    """Attenuation in magnitudes per unit E(B-V), Calzetti et al. 2000 (ApJ 533, 682) equation 4."""
    inverse = 1e4 / wave
    blue = -2.156 + 1.509 * inverse - 0.198 * inverse**2 + 0.011 * inverse**3
    return 2.659 * np.where(wave < 6300, blue, -1.857 + 1.040 * inverse) + 4.05


def madau(observed: np.ndarray, redshift: float) -> np.ndarray:
    """Transmission of the intergalactic hydrogen: Madau 1995 (ApJ 441, 18), lines only.

    Below the Lyman limit nothing is let through; the templates hold next to no light there.
    """
    depth = np.zeros_like(observed)
    lines = ((1215.67, 3.6e-3), (1025.72, 1.7e-3), (972.54, 1.2e-3), (949.74, 9.3e-4))
    for line, strength in lines:
        absorbed = strength * (observed / line) ** 3.46
        depth += np.where(observed < line * (1 + redshift), absorbed, 0.0)
    return np.where(observed < 912 * (1 + redshift), 0.0, np.exp(-depth))


def extinction(wave: float) -> float:
    """A(lambda) / E(B-V) of the Milky Way, R_V = 3.1: Cardelli, Clayton & Mathis 1989, optical."""
    y = 1e4 / wave - 1.82
    a = (1, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
    b = (0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
    return 3.1 * np.polyval(a[::-1], y) + np.polyval(b[::-1], y)


def magnitude(wave, flux_nu, band_wave, throughput) -> float:
    """AB magnitude: photon-weighted mean of f_nu over the band, -2.5 log10 (f_nu = 1 gives 0)."""
    grid = np.union1d(band_wave, wave[(wave > band_wave[0]) & (wave < band_wave[-1])])
    weight = np.interp(grid, band_wave, throughput) / grid
    mean = np.trapezoid(np.interp(grid, wave, flux_nu) * weight, grid) / np.trapezoid(weight, grid)
    return -2.5 * np.log10(max(mean, 1e-6))


def galaxies(bands: dict, redshift: np.ndarray, dust: np.ndarray) -> np.ndarray:
    """Magnitudes [redshift, template, dust, band]."""
    table = np.zeros((len(redshift), len(TEMPLATES), len(dust), len(bands)), np.float32)
    for t, name in enumerate(TEMPLATES):
        wave, flux = read(f"SEDs/CWW_{name}_ext.sed")
        flux_nu = flux * wave**2
        flux_nu /= np.interp(5500.0, wave, flux_nu)
        for i, z in enumerate(redshift):
            observed = wave * (1 + z)
            seen = flux_nu * madau(observed, z)
            for j, ebv in enumerate(dust):
                dimmed = seen * 10 ** (-0.4 * ebv * calzetti(wave))
                for b, band in enumerate(bands.values()):
                    table[i, t, j, b] = magnitude(observed, dimmed, *band)
    return table


def star(wave: np.ndarray, temperature: float) -> np.ndarray:
    """f_nu of a black body with a Balmer jump, line blanketing, strong lines and TiO bands."""
    flux = 1 / wave**3 / np.expm1(1.4388e8 / (wave * temperature))
    hot = np.exp(-0.5 * (np.log(temperature / 9500) / 0.35) ** 2)  # strength of hydrogen lines
    cool = 1 / (1 + (temperature / 5800) ** 8)  # of metals
    flux *= np.where(wave < 3700, 1 - 0.65 * hot, 1.0)
    flux *= np.where(wave < 4500, np.exp(-0.9 * cool * (4500 - wave) / 1000), 1.0)
    lines = ((3950, 45, 0.7 * cool), (4300, 40, 0.4 * cool), (5170, 60, 0.5 * cool))
    lines += ((4102, 25, 0.6 * hot), (4340, 25, 0.6 * hot), (6563, 25, 0.5 * hot))
    molecules = 1 / (1 + (temperature / 3600) ** 12)
    lines += ((6250, 120, 0.6 * molecules), (7150, 150, 0.7 * molecules), (8500, 60, 0.3 * cool))
    for centre, sigma, depth in lines:
        flux *= 1 - depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
    return flux / np.interp(5500.0, wave, flux)


def quasar(wave: np.ndarray, slope: float) -> np.ndarray:
    """f_nu of a power law nu^slope with broad lines, 5000 km/s wide."""
    lines = np.ones_like(wave)
    for centre, width in QUASAR_LINES:
        sigma = centre * 5000 / 299792 / 2.3548
        profile = np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        lines += width * profile
    return (5500 / wave) ** slope * lines


def candels() -> dict[str, np.ndarray]:
    """The table of the four CANDELS bands, to redshift 3.2."""
    bands = {}
    for name, file in CANDELS.items():
        nanometre, throughput = read(f"bandpasses/{file}.dat")
        bands[name] = (10 * nanometre, throughput)
    redshift, dust = np.linspace(0, 3.2, 257), np.linspace(0, 0.6, 7)
    table = galaxies(bands, redshift, dust)
    return {"bands": np.array(list(bands)), "redshift": redshift, "dust": dust, "galaxy": table}


def splus() -> dict[str, np.ndarray]:
    """The table of the twelve S-PLUS bands: galaxies to redshift 0.6, stars, quasars to 4."""
    bands = {name: trapezoid(*shape) for name, shape in SPLUS.items()}
    redshift, dust = np.linspace(0, 0.6, 121), np.linspace(0, 0.6, 4)
    temperature = np.geomspace(3000, 20000, 33)
    quasar_redshift, slope = np.linspace(0, 4, 201), np.array([-1.0, -0.5, 0.0])
    wave = np.arange(500.0, 12000.0, 5.0)
    stars = [[magnitude(wave, star(wave, t), *b) for b in bands.values()] for t in temperature]
    quasars = np.zeros((len(quasar_redshift), len(slope), len(bands)), np.float32)
    for i, z in enumerate(quasar_redshift):
        for j, s in enumerate(slope):
            seen = quasar(wave, s) * madau(wave * (1 + z), z)
            quasars[i, j] = [magnitude(wave * (1 + z), seen, *b) for b in bands.values()]
    return {
        "bands": np.array(list(bands)),
        "redshift": redshift,
        "dust": dust,
        "galaxy": galaxies(bands, redshift, dust),
        "temperature": temperature,
        "star": np.array(stars),
        "quasar_redshift": quasar_redshift,
        "quasar_slope": slope,
        "quasar": quasars,
        "extinction": np.array([extinction(centre) for centre, _ in SPLUS.values()]),
    }


def main() -> None:
    """Writes both tables, rounded to 1e-4 mag so that they compress."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    folder = Path(__file__).parents[1] / "astrojax" / "simulate" / "survey"
    for name, table in (("candels", candels()), ("splus", splus())):
        numbers = {k: v for k, v in table.items() if k != "bands"}
        rounded = {k: np.round(v, 4).astype(np.float32) for k, v in numbers.items()}
        np.savez_compressed(folder / f"{name}.npz", bands=table["bands"], **rounded)
        print(f"{name}.npz: {(folder / f'{name}.npz').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
