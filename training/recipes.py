"""Every experiment that ships, as a function; `quick` makes their debug twins, which the tests run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from training.adversarial import GanRecipe
from training.dcgan import DcganRecipe
from training.degrade import Degradation
from training.evaluators.learning import EvaluatorRecipe
from training.harmonization import HarmonizeRecipe
from training.lining import LinesRecipe
from training.matting import MattingRecipe
from training.networks.cascade import CascadeConfig
from training.networks.colorway import ColorwayConfig
from training.networks.dcgan import DcganConfig
from training.networks.enhance import EnhanceConfig
from training.networks.features import FeatureConfig
from training.networks.generator import DiscriminatorConfig, GeneratorConfig
from training.networks.harmonize import HarmonizeConfig
from training.networks.level import LevelConfig
from training.networks.lines import LinesConfig
from training.networks.matting import MattingConfig
from training.networks.patches import PatchConfig
from training.networks.relight import RelightConfig
from training.networks.sketch import SketchConfig
from training.networks.watermark import WatermarkConfig
from training.recolouring import ColorwayRecipe
from training.relighting import RelightRecipe
from training.restoration import RestorationRecipe
from training.sketching import SketchRecipe
from training.upsampling import UpsamplingRecipe
from training.watermarking import WatermarkRecipe

Recipe = (
    ColorwayRecipe
    | GanRecipe
    | DcganRecipe
    | EvaluatorRecipe
    | HarmonizeRecipe
    | LinesRecipe
    | MattingRecipe
    | RelightRecipe
    | RestorationRecipe
    | SketchRecipe
    | UpsamplingRecipe
    | WatermarkRecipe
)


def dcgan_28() -> DcganRecipe:
    """The textbook GAN on Fashion-MNIST: minutes on two cores."""
    return DcganRecipe(name="dcgan-28", network=DcganConfig(), steps=4000)


def dcgan_64() -> DcganRecipe:
    """The textbook GAN on curated products, by class, shown as many as `garments-128` 3: in less than two hours."""
    network = DcganConfig(width=16, start=4, doublings=4, channels=4, classes=13, original=True)
    return DcganRecipe(name="dcgan-64", network=network, steps=21_456, bf16=True)


def garments_64() -> GanRecipe:
    """Product pictures by class: about two hours on two cores."""
    return GanRecipe(
        name="garments-64",
        network=GeneratorConfig(),
        stages=((2, 1000, 0.02), (3, 2500, 0.05), (4, 20000, 0.15)),
        lr=6e-4,
        final_lr=1e-4,
    )


def garments_128() -> GanRecipe:
    """Product pictures by class, 128 px: a quarter of an hour on a GPU, if it does nothing else."""
    channels = (256, 256, 192, 96, 48)
    return GanRecipe(
        name="garments-128",
        network=GeneratorConfig(channels=channels, blocks=(1, 1, 2, 2, 2)),
        critic=DiscriminatorConfig(channels=(256, 256, 256, 128, 64), blocks=(1, 1, 2, 2, 2), hidden=256),
        stages=((2, 2000, 0.02), (3, 4500, 0.05), (4, 6000, 0.15), (5, 9500, 0.1)),
        batch_size=64,
        lr=5e-4,
        final_lr=5e-5,
        ema_images=50_000,
        warped=0.6,
    )


def cascade_128() -> UpsamplingRecipe:
    """A second stage for garments-64 or garments-128 (--start), for 128 px: 40 minutes on one core."""
    return UpsamplingRecipe(
        name="cascade-128",
        network=CascadeConfig(),
        stages=((128, 3000),),
        batch_size=16,
        lr=5e-4,
        weights={"l1": 20.0, "coarse": 20.0, "adversarial": 1.0, "features": 0.0, "penalty": 0.3},
        penalise_made=True,
        trust_pairs=True,
        critic=PatchConfig(channels=(48, 96, 128), scales=3, classes=13, squares=True),
    )


def garments_32() -> GanRecipe:
    """A short `garments-64`, to see what a part of it is worth: 60,000 images."""
    sizes: dict[str, tuple[int, ...]] = {"channels": (192, 160, 96), "blocks": (1, 1, 1)}
    network, critic = GeneratorConfig(**sizes), DiscriminatorConfig(**sizes)  # type: ignore[arg-type]
    stages = ((2, 500, 0.02), (3, 1375, 0.05))
    return replace(garments_64(), name="garments-32", network=network, critic=critic, stages=stages)


def evaluator_classifier() -> EvaluatorRecipe:
    """Tells the classes apart, for evaluations: minutes on one core."""
    return EvaluatorRecipe(name="evaluator-classifier", network=FeatureConfig(head=(13,)), steps=2000)


def evaluator_selfsupervised() -> EvaluatorRecipe:
    """Tells products apart without labels, for evaluations: minutes on one core."""
    return EvaluatorRecipe(
        name="evaluator-selfsupervised",
        network=FeatureConfig(head=(28,)),
        steps=1800,
        weights={"rotation": 1.0, "jigsaw": 1.0},
    )


def enhance_x2() -> RestorationRecipe:
    """Twice the size, restored: about an hour on one core."""
    return RestorationRecipe(
        name="enhance-x2", network=EnhanceConfig(), steps=26_000, batch_size=8, most_gradient=1.0, drawings=2000
    )


def enhance_x2_fast() -> RestorationRecipe:
    """As `enhance-x2`, at a quarter of its work: half an hour on one core."""
    small = EnhanceConfig(channels=32)
    return replace(enhance_x2(), name="enhance-x2-fast", network=small)


def enhance_x4() -> RestorationRecipe:
    """Four times the size, beginning with a published enhance-x2 (--start): half an hour on one core."""
    large = EnhanceConfig(scale=4)
    return replace(enhance_x2(), name="enhance-x4", network=large, scale=4, patch=128, steps=16_000, lr=6e-4)


def upscale_x2() -> RestorationRecipe:
    """Twice the size of a clean picture, and nothing else: three minutes on a GPU."""
    return RestorationRecipe(
        name="upscale-x2",
        network=EnhanceConfig(channels=48, blocks=14, restores=False),
        degradation=Degradation(clean_share=1.0),
        steps=45_000,
        batch_size=32,
        most_gradient=1.0,
        halvings=2,
        drawings=2000,
    )


def upscale_x4() -> RestorationRecipe:
    """Four times the size of a clean picture, and nothing else: three minutes on a GPU."""
    network = EnhanceConfig(channels=48, blocks=14, scale=4, restores=False)
    return replace(upscale_x2(), name="upscale-x4", network=network, scale=4, patch=192)


def upscale_x2_tune() -> RestorationRecipe:
    """A published upscale-x2 (--start) trained on: three quarters of an hour on one core."""
    return tuned(upscale_x2())


def upscale_x4_tune() -> RestorationRecipe:
    """A published upscale-x4 (--start) trained on: fifty minutes on one core."""
    return tuned(upscale_x4())


def tuned(recipe: RestorationRecipe) -> RestorationRecipe:
    """The recipe that trains on what another one has made."""
    return replace(recipe, name=f"{recipe.name}-tune", steps=9000, batch_size=16, lr=4e-4)


def restoration_level() -> RestorationRecipe:
    """How degraded a photo is: minutes on one core. Its "clean picture" is twice the tile that it looks at."""
    return RestorationRecipe(
        name="restoration-level", network=LevelConfig(), steps=4000, patch=192, ema_decay=0.995, drawings=500
    )


def cutout() -> MattingRecipe:
    """Products out of photos: about an hour on two cores."""
    return MattingRecipe(name="cutout", network=MattingConfig(), stages=((128, 7000), (192, 1200), (256, 800)))


def cutout_tune() -> MattingRecipe:
    """A published cut-out network (--start) trained on, at the size that it serves: an hour and a half on one core."""
    return replace(cutout(), name="cutout-tune", stages=((192, 4000), (256, 10_000)), lr=5e-4)


def harmonize() -> HarmonizeRecipe:
    """Products in their backdrop's light: minutes on one core."""
    return HarmonizeRecipe(name="harmonize", network=HarmonizeConfig(), steps=4000)


def relight() -> RelightRecipe:
    """The light of a place off a product: three quarters of an hour on one core."""
    return RelightRecipe(name="relight", network=RelightConfig(), stages=((128, 8000), (256, 2500)))


def colorway() -> ColorwayRecipe:
    """Products in another colour: half an hour on one core."""
    return ColorwayRecipe(
        name="colorway",
        network=ColorwayConfig(),
        stages=((128, 3000), (256, 500)),
        weights={
            "l1": 10.0,
            "told": 10.0,
            "folds": 0.5,
            "cast": 5.0,
            "adversarial": 0.5,
            "features": 2.0,
            "penalty": 1.0,
        },
        penalise_made=True,
    )


def sketch() -> LinesRecipe:
    """Photos as line drawings: about half an hour on one core, with the drawings that it learns from."""
    return LinesRecipe(
        name="sketch",
        network=LinesConfig(),
        stages=((96, 9000),),
        lr=6e-4,
        final_lr=1.5e-4,
        weights={"l1": 5.0, "balanced": 3.0, "adversarial": 0.3, "features": 1.0, "penalty": 1.0},
        ema_decay=0.995,
    )


def from_sketch() -> SketchRecipe:
    """Products out of drawings: an hour on one core."""
    return SketchRecipe(
        name="from-sketch",
        network=SketchConfig(),
        stages=((64, 1750), (128, 4250)),
        lr=5e-4,
        weights={"alpha": 5.0, "l1": 10.0, "told": 5.0, "adversarial": 1.0, "features": 4.0, "penalty": 3.0},
        fine={"l1": 40.0, "told": 20.0, "adversarial": 0.5, "features": 1.0, "penalty": 0.3},
        final_lr=2e-4,
        ema_decay=0.995,
        penalise_made=True,
        critic=PatchConfig(channels=(48, 96, 128), scales=3, classes=13, squares=True),
    )


def watermark() -> WatermarkRecipe:
    """Bits that nobody sees, and what reads them: an hour on one core."""
    return WatermarkRecipe(name="watermark", network=WatermarkConfig(), steps=8_000)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "dcgan-28": dcgan_28,
    "dcgan-64": dcgan_64,
    "garments-64": garments_64,
    "garments-128": garments_128,
    "cascade-128": cascade_128,
    "garments-32": garments_32,
    "evaluator-classifier": evaluator_classifier,
    "evaluator-selfsupervised": evaluator_selfsupervised,
    "enhance-x2": enhance_x2,
    "enhance-x2-fast": enhance_x2_fast,
    "enhance-x4": enhance_x4,
    "upscale-x2": upscale_x2,
    "upscale-x4": upscale_x4,
    "upscale-x2-tune": upscale_x2_tune,
    "upscale-x4-tune": upscale_x4_tune,
    "restoration-level": restoration_level,
    "cutout": cutout,
    "cutout-tune": cutout_tune,
    "harmonize": harmonize,
    "relight": relight,
    "colorway": colorway,
    "sketch": sketch,
    "from-sketch": from_sketch,
    "watermark": watermark,
}


def quick(recipe: Recipe) -> Recipe:
    """A recipe's debug twin: the whole path in a few small steps."""
    if isinstance(recipe, GanRecipe):
        levels = len(recipe.network.channels)
        sizes = {"channels": (8,) * levels, "blocks": (1,) * levels}
        small, critic = replace(recipe.network, **sizes), replace(recipe.critic, **sizes)  # type: ignore[arg-type]
        return replace(recipe, network=small, critic=critic, stages=((2, 4, 0.1), (levels, 4, 1.0)), batch_size=4)
    if isinstance(recipe, DcganRecipe):
        return replace(recipe, network=replace(recipe.network, width=4), steps=8, batch_size=8)
    if isinstance(recipe, EvaluatorRecipe):
        return replace(recipe, network=replace(recipe.network, channels=(4, 4, 4, 4)), steps=8, batch_size=8)
    if isinstance(recipe, MattingRecipe):
        thin = MattingConfig(channels=(4, 4, 4, 4, 4), blocks=(0, 0, 0, 1, 1), detail=4)
        return replace(recipe, network=thin, stages=((32, 4), (64, 4)), batch_size=2)
    if isinstance(recipe, HarmonizeRecipe):
        return replace(recipe, network=HarmonizeConfig(channels=(4, 4, 4, 4)), steps=8, batch_size=2)
    if isinstance(recipe, ColorwayRecipe | LinesRecipe | RelightRecipe | SketchRecipe | UpsamplingRecipe):
        return quick_translator(recipe)
    if isinstance(recipe, WatermarkRecipe):
        faint = WatermarkConfig(size=32, hiding=(4, 4, 4), reading=(4, 4, 4, 4), message=2)
        return replace(recipe, network=faint, sides=(32,), steps=8, batch_size=2)
    if isinstance(recipe.network, EnhanceConfig):
        thin_enhancer = replace(recipe.network, channels=8, blocks=1)
        return replace(recipe, network=thin_enhancer, steps=8, batch_size=2, drawings=4)
    return replace(recipe, network=LevelConfig(channels=(4, 4, 4, 4)), steps=8, batch_size=2)


def quick_translator(
    recipe: ColorwayRecipe | LinesRecipe | RelightRecipe | SketchRecipe | UpsamplingRecipe,
) -> Recipe:
    """As `quick`, for what is trained against a `PatchDiscriminator`."""
    critic = replace(recipe.critic, channels=(4, 4))
    stages = ((32, 4), (64, 4))
    if isinstance(recipe, LinesRecipe):
        pen = LinesConfig(channels=(4, 4, 4), blocks=(0, 1, 1), size=64)
        return replace(recipe, network=pen, critic=critic, stages=stages, batch_size=2, photos=12)
    if isinstance(recipe, SketchRecipe):
        lines = SketchConfig(channels=(4, 4, 4, 4), blocks=1, style=4, palette=26)
        return replace(recipe, network=lines, critic=critic, stages=stages, batch_size=2)
    if isinstance(recipe, UpsamplingRecipe):
        cascade = CascadeConfig(channels=(8, 8, 8, 8), fine=(4, 4, 4), fine_blocks=(1, 1, 1))
        return replace(recipe, network=cascade, critic=critic, stages=((128, 8),), batch_size=2)
    if isinstance(recipe, ColorwayRecipe):
        dye = ColorwayConfig(channels=(4, 4, 4, 4, 4), blocks=1)
        return replace(recipe, network=dye, critic=critic, stages=stages, batch_size=2)
    light = RelightConfig(channels=(4, 4, 4, 4, 4), blocks=1)
    return replace(recipe, network=light, critic=critic, stages=stages, batch_size=2)
