# SPDX-License-Identifier: Apache-2.0
"""The architectures whose weights can be exchanged with PyTorch: what to build, what to call it."""

import dataclasses
import re
from collections.abc import Callable, Mapping

from flax import nnx

from astrojax.errors import UserError
from astrojax.interop import names
from astrojax.interop.networks import PitaNetwork, SelfClassifierNetwork, SiamNetwork
from astrojax.nn.backbones import ConvNeXt, ResNet, ViT, convnext, resnet, vgg, vit
from astrojax.nn.backbones.vgg import VGG

Shapes = Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What `interop.torch` knows of an architecture.

    Attributes:
        build: (shapes of the entries, bands, whether with classifier, rngs) to the module.
        rule: The module to the names of its variables in a state dict.
        stem: Name of the weight of the first convolution; "" if there is none.
        bands: Bands of the published weights.
        classifier: Pattern of the names of the classifier's entries.
        training: Pattern of entries that only training needs: momentum copies and queues.
        aliases: Function that brings the entries to the names and parts astrojax has.
    """

    build: Callable[[Shapes, int, bool, nnx.Rngs], nnx.Module]
    rule: Callable[[nnx.Module], names.Rule]
    stem: str
    bands: int = 3
    classifier: str | None = None
    training: str | None = None
    aliases: Callable[[dict], dict] | None = None


def find(arch: str) -> Architecture:
    """The architecture of that name.

    Raises:
        UserError: There is none; the message lists those there are.
    """
    if arch not in ARCHITECTURES:
        raise UserError(f"arch is {arch!r}; it has to be one of: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[arch]


def _classes(shapes: Shapes, name: str, classifier: bool) -> int | None:
    """Outputs of the classifier whose weight has that name; 1000 where it is missing."""
    return shapes.get(name, (1000,))[0] if classifier else None


def _resnet_backbone(size: str, bands: int, num_classes: int | None, rngs: nnx.Rngs) -> ResNet:
    return ResNet(
        bands=bands,
        **resnet.SIZES[size],
        stem="imagenet",
        num_classes=num_classes,
        zero_init_residual=False,
        dtype="float32",
        remat=False,
        rngs=rngs,
    )


def _torchvision_resnet(size: str) -> Architecture:
    return Architecture(
        build=lambda shapes, bands, classifier, rngs: _resnet_backbone(
            size, bands, _classes(shapes, "fc.weight", classifier), rngs
        ),
        rule=lambda module: names.resnet,
        stem="conv1.weight",
        classifier=r"fc\.",
    )


def _torchvision_vgg(size: str, batch_norm: bool) -> Architecture:
    def build(shapes: Shapes, bands: int, classifier: bool, rngs: nnx.Rngs) -> VGG:
        return VGG(
            bands=bands,
            **vgg.SIZES[size],
            batch_norm=batch_norm,
            **vgg.PUBLISHED_CLASSIFIER,
            num_classes=_classes(shapes, "classifier.6.weight", classifier),
            dtype="float32",
            remat=False,
            rngs=rngs,
        )

    return Architecture(build, names.vgg, "features.0.weight", classifier=r"classifier\.")


def _torchvision_convnext(size: str) -> Architecture:
    def build(shapes: Shapes, bands: int, classifier: bool, rngs: nnx.Rngs) -> ConvNeXt:
        return ConvNeXt(
            bands=bands,
            **convnext.SIZES[size],
            stem_size=4,
            stem_stride=4,
            drop_path=0.0,
            layer_scale=1e-6,
            num_classes=_classes(shapes, "classifier.2.weight", classifier),
            dtype="float32",
            remat=False,
            rngs=rngs,
        )

    return Architecture(
        build,
        lambda module: names.convnext,
        "features.0.0.weight",
        classifier=r"classifier\.2\.",
    )


def _timm_vit(size: str) -> Architecture:
    def build(shapes: Shapes, bands: int, classifier: bool, rngs: nnx.Rngs) -> ViT:
        return ViT(
            image_size=224,
            patch_size=16,
            bands=bands,
            **vit.SIZES[size],
            positions="learned",
            class_token=True,
            pool="class",
            activation="gelu",
            dropout=0.0,
            drop_path=0.0,
            num_classes=_classes(shapes, "head.weight", classifier),
            dtype="float32",
            remat=False,
            rngs=rngs,
        )

    return Architecture(
        build, lambda module: names.vit, "patch_embed.proj.weight", classifier=r"head\."
    )


def _pita() -> Architecture:
    def rule(module: nnx.Module) -> names.Rule:
        layers = names.mlp(2, "projection_layers.")
        return names.within(
            encoder=("encoder.", names.convnext),
            encoder_mlp=("encoder_mlp.", layers),
            projection=("projection_head.", layers),
            redshift=("redshift_mlp.", layers),
            color=("color_mlp.", layers),
        )

    return Architecture(
        build=lambda shapes, bands, classifier, rngs: PitaNetwork(bands=bands, rngs=rngs),
        rule=rule,
        stem="encoder.features.0.0.weight",
        bands=4,
        training=r"momentum_|queue",
    )


def _siam(size: str | None, *, lensiam: bool) -> Architecture:
    """SimSiam's or LenSiam's backbone (none without a size) and heads."""
    last, first = (
        ("predictor.layer2.weight", "projector.layer1.0.weight")
        if lensiam
        else ("predictor.3.weight", "encoder.fc.0.weight")
    )

    def build(shapes: Shapes, bands: int, classifier: bool, rngs: nnx.Rngs) -> SiamNetwork:
        out, hidden = shapes.get(last, (2048, 512))
        backbone = _resnet_backbone(size, bands, None, rngs) if size else None
        width = backbone.width if backbone else shapes.get(first, (2048, 2048))[1]
        return SiamNetwork(
            backbone, width=width, hidden=hidden, out=out, lensiam=lensiam, rngs=rngs
        )

    def rule(module: nnx.Module) -> names.Rule:
        if lensiam:
            return names.within(
                backbone=("backbone.", names.resnet),
                projector=("projector.", names.lensiam_projector),
                predictor=("predictor.", names.lensiam_predictor),
            )
        return names.within(
            backbone=("encoder.", names.resnet),
            projector=("encoder.fc.", names.mlp(3)),
            predictor=("predictor.", names.mlp(3)),
        )

    prefix = "backbone." if lensiam else "encoder."
    return Architecture(
        build,
        rule,
        f"{prefix}conv1.weight" if size else "",
        aliases=None if lensiam else _fold_frozen_bias,
    )


def _fold_frozen_bias(entries: dict) -> dict:
    """SimSiam's code freezes the bias before the projector's last norm; the norm's mean takes it.

    norm(x + bias) with mean m is norm(x) with mean m - bias, so nothing is lost.
    """
    entries = dict(entries)
    bias, mean = entries.pop("encoder.fc.6.bias", None), "encoder.fc.7.running_mean"
    if bias is not None and mean in entries:
        entries[mean] = entries[mean] - bias
    return entries


def _self_classifier(size: str) -> Architecture:
    """Version 1: MLP of any depth in place of `fc`, classifiers cls_0, cls_1, ..."""

    def build(shapes: Shapes, bands: int, classifier: bool, rngs: nnx.Rngs) -> nnx.Module:
        backbone = _resnet_backbone(size, bands, None, rngs)
        linears = sorted(
            (int(n.split(".")[2]), s)
            for n, s in shapes.items()
            if re.fullmatch(r"backbone\.fc\.\d+\.weight", n) and len(s) == 2
        )
        widths = (backbone.width, *(s[0] for _, s in linears))
        heads = [s[0] for n, s in shapes.items() if re.fullmatch(r"cls_\d+", n)]
        return SelfClassifierNetwork(backbone, widths=widths, classes=tuple(heads), rngs=rngs)

    def rule(module: nnx.Module) -> names.Rule:
        return names.within(
            backbone=("backbone.", names.resnet),
            mlp=("backbone.fc.", names.mlp(3)),
            classifiers=("cls_", lambda path: path),
        )

    return Architecture(build, rule, "backbone.conv1.weight")


ARCHITECTURES: dict[str, Architecture] = {
    **{f"torchvision/resnet{s}": _torchvision_resnet(s) for s in resnet.SIZES},
    **{f"torchvision/vgg{s}": _torchvision_vgg(s, False) for s in vgg.SIZES},
    **{f"torchvision/vgg{s}_bn": _torchvision_vgg(s, True) for s in vgg.SIZES},
    **{f"torchvision/convnext_{s}": _torchvision_convnext(s) for s in ("tiny", "small", "base")},
    **{f"timm/vit_{s}_patch16_224": _timm_vit(s) for s in vit.SIZES},
    "pita_z": _pita(),
    **{f"simsiam/resnet{s}": _siam(s, lensiam=False) for s in ("18", "50")},
    **{f"lensiam/resnet{s}": _siam(s, lensiam=True) for s in ("18", "50", "101", "152")},
    "lensiam/heads": _siam(None, lensiam=True),
    "self_classifier/resnet50": _self_classifier("50"),
}
"""Names that `interop.torch.load` and `save` take."""
