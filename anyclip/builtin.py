"""The core's own parts, registered through the same hooks as any plugin."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import (
    CommandSpec,
    EvaluationSpec,
    LoggerSpec,
    LossSpec,
    ModalitySpec,
    ObjectiveSpec,
    ReaderSpec,
    SamplerSpec,
    Scalar,
    SimilaritySpec,
    TowerSpec,
)


@hookimpl
def anyclip_losses():
    yield LossSpec(
        name="infonce",
        target="anyclip.losses.infonce:InfoNCE",
        options="anyclip.losses.options:InfoNCEOptions",
        summary="Softmax over all candidates (CLIP), with the options of its family",
        scale=Scalar(init=1 / 0.07, max=100.0),
        wide=("label_smoothing", "direction_reduction", "normalize_inputs", "tile", "tile_dtype"),
        fields=("labels", "ids", "sample_weights"),
    )
    yield LossSpec(
        name="infoloob",
        target="anyclip.losses.infoloob:InfoLOOB",
        options="anyclip.losses.options:InfoLOOBOptions",
        summary="InfoLOOB: the positive is no candidate; with Hopfield retrieval (CLOOB)",
        scale=Scalar(init=30.0, learn=False),
    )
    yield LossSpec(
        name="supcon",
        target="anyclip.losses.supcon:SupCon",
        options="anyclip.losses.options:SupConOptions",
        summary="Supervised contrastive: rows of one label attract, within and across streams",
        fields=("labels",),
        scale=Scalar(init=1.0, learn=False),
    )
    yield LossSpec(
        name="siglip",
        target="anyclip.losses.siglip:SigLIP",
        options="anyclip.losses.options:SigLIPOptions",
        summary="Pairwise sigmoid loss with scale and bias (SigLIP)",
        scale=Scalar(init=10.0),
        bias=Scalar(init=-10.0),
    )


@hookimpl
def anyclip_similarities():
    yield SimilaritySpec(
        name="cosine", target="anyclip.similarities.cosine:Cosine", summary="Dot product on the unit sphere"
    )
    yield SimilaritySpec(name="dot", target="anyclip.similarities.cosine:Dot", summary="Dot product of raw features")
    for name, target, options, summary in (
        (
            "frame_mean",
            "frame_mean:FrameMean",
            None,
            "One vector against the mean of tokens, such as frames (CLIP4Clip)",
        ),
        ("filip", "filip:Filip", "Filip", "Each token's best match, averaged; with top-k keys (FILIP)"),
        ("multi_grained", "multi_grained:MultiGrained", "MultiGrained", "Sentence, words, frames and video (X-CLIP)"),
        ("euclidean", "euclidean:Euclidean", "Euclidean", "Minus the (squared) distance of raw features (EuCLIP)"),
        ("elliptic", "euclidean:Elliptic", "Elliptic", "Minus the angle of unit vectors"),
        ("hyperbolic", "hyperbolic:Hyperbolic", "Hyperbolic", "Minus the distance on a hyperboloid (MERU)"),
        ("whitening", "whitening:Whitening", "Whitening", "Whitened features, fitted on a reference set (W-CLIP)"),
    ):
        yield SimilaritySpec(
            name=name,
            target=f"anyclip.similarities.{target}",
            options=f"anyclip.similarities.options:{options}Options" if options else None,
            summary=summary,
            tokens=name in ("frame_mean", "filip", "multi_grained"),
        )


@hookimpl
def anyclip_objectives():
    """Terms of a pair take the pair's scale, so that their own default matters only where no loss is on it."""
    scale = Scalar(init=1 / 0.07, max=100.0)
    for name, target, settings, summary in (
        (
            "distillation",
            "distillation:Distillation",
            {"scale": scale, "fields": ("teacher_a", "teacher_b")},
            "A teacher's logits, features and gradients guide a pair (open_clip, CLIP-KD, MobileCLIP)",
        ),
        ("cyclic", "cyclic:Cyclic", {}, "Cyclic consistency within and across a pair (CyCLIP)"),
        (
            "separation",
            "separation:Separation",
            {"scale": scale, "fields": ("sentence",)},
            "Samples of one stream repel, less so what means the same (AlignCLIP)",
        ),
        ("geodesic_mixup", "geodesic_mixup:GeodesicMixup", {"scale": scale}, "Mixing on the sphere (m2-Mix)"),
        ("entailment", "entailment:Entailment", {}, "Cones of the general hold the special (MERU, EuCLIP)"),
        (
            "nearest_neighbour",
            "nearest_neighbour:NearestNeighbour",
            {"scale": scale},
            "Neighbours in a queue of earlier embeddings are positives too (DeCLIP)",
        ),
        (
            "captioning",
            "captioning:Captioning",
            {"tokens": True},
            "A decoder writes the second stream's tokens (CoCa)",
        ),
    ):
        yield ObjectiveSpec(
            name=name,
            target=f"anyclip.objectives.{target}",
            pair=True,
            summary=summary,
            **{"options": f"anyclip.objectives.options:{target.partition(':')[2]}Options", **settings},
        )
    for name, cls, cacheable, summary in (
        ("ntxent", "NTXent", True, "Two views of a sample attract (SimCLR; with a loss on a pair: SLIP)"),
        ("paired_views", "PairedViews", True, "Two views attract, and their mean another stream (CLIP2Point)"),
        ("simsiam", "SimSiam", True, "Each of two views predicts the other (SimSiam)"),
        ("tower_term", "TowerTerm", True, "A loss that the tower itself gives for each row (AudioCLIP's kernel norms)"),
        ("masked_modelling", "MaskedModelling", False, "Guess hidden tokens; runs the tower again (BERT, DeCLIP)"),
        ("self_distillation", "SelfDistillation", False, "A masked view predicts a moving average of the tower"),
    ):
        yield ObjectiveSpec(
            name=name,
            target=f"anyclip.objectives.{name}:{cls}",
            options=f"anyclip.objectives.options:{cls}Options",
            summary=summary,
            cacheable=cacheable,
        )
    yield ObjectiveSpec(
        name="class_prompts",
        target="anyclip.objectives.class_prompts:ClassPrompts",
        options="anyclip.objectives.options:ClassPromptsOptions",
        summary="Cross entropy with the prompts of every class (few-shot adapters)",
        fields=("label",),
    )


@hookimpl
def anyclip_readers():
    yield ReaderSpec(
        name="manifest",
        target="anyclip.readers.manifest:ManifestReader",
        options="anyclip.readers.options:ManifestOptions",
        summary="A CSV, JSONL or Parquet table, a row per sample",
        example="anyclip.testing.reader_examples:manifest",
    )
    yield ReaderSpec(
        name="tar",
        target="anyclip.readers.tar:TarReader",
        options="anyclip.readers.options:TarOptions",
        summary="WebDataset-layout tar shards with random access",
        example="anyclip.testing.reader_examples:tar",
    )
    yield ReaderSpec(
        name="folder",
        target="anyclip.readers.folder:FolderReader",
        options="anyclip.readers.options:FolderOptions",
        summary="A folder per class",
        example="anyclip.testing.reader_examples:folder",
    )
    yield ReaderSpec(
        name="huggingface",
        target="anyclip.readers.huggingface:HuggingFaceReader",
        options="anyclip.readers.options:HuggingFaceOptions",
        summary="A local `datasets` folder or Parquet files",
        example="anyclip.testing.reader_examples:huggingface",
    )
    yield ReaderSpec(
        name="synthetic",
        target="anyclip.readers.synthetic:SyntheticReader",
        options="anyclip.readers.options:SyntheticOptions",
        summary="Random scenes rendered for any set of modalities; needs no file",
        tiny={"size": 16},
    )


@hookimpl
def anyclip_samplers():
    yield SamplerSpec(
        name="clusters",
        target="anyclip.data.clusters:Clusters",
        options="anyclip.config.sampler_options:ClustersOptions",
        summary="Batches of items that are near each other in the last pass (VideoCLIP)",
    )


@hookimpl
def anyclip_evaluations():
    for name, cls, summary in (
        ("retrieval", "Retrieval", "Recall@K, median rank, both directions, with bootstrap intervals"),
        ("modality_gap", "ModalityGap", "Gap, alignment and uniformity of the streams on the sphere"),
        ("zero_shot", "ZeroShot", "Classification by class prompts"),
        ("zero_shot_search", "ZeroShotSearch", "The same, with token weights and prompts searched on other rows"),
        ("linear_probe", "LinearProbe", "A linear classifier on frozen embeddings"),
    ):
        yield EvaluationSpec(
            name=name,
            target=f"anyclip.evaluation.{name}:{cls}",
            options=f"anyclip.evaluation.options:{cls}Options",
            summary=summary,
            pair=name in ("retrieval", "modality_gap"),
        )


@hookimpl
def anyclip_loggers():
    yield LoggerSpec(
        name="tensorboard",
        target="anyclip.trainer.loggers:TensorBoardLogger",
        summary="TensorBoard event files in the run folder",
        requires=("tensorboard",),
    )
    yield LoggerSpec(
        name="wandb", target="anyclip.trainer.loggers:WandbLogger", summary="Weights & Biases", requires=("wandb",)
    )
    yield LoggerSpec(
        name="trackio", target="anyclip.trainer.loggers:TrackioLogger", summary="trackio", requires=("trackio",)
    )


@hookimpl
def anyclip_commands():
    for name, summary in (
        ("plugins", "What is installed, and what failed to load and why"),
        ("options", "Options of a part: types, defaults, documentation"),
        ("check", "Check a config without loading torch"),
        ("plan", "Parameters, memory, negatives and steps of a config"),
        ("train", "Train from a config; --resume goes on where it stopped"),
        ("eval", "Evaluate a run and write its report"),
        ("embed", "Embed files into a Parquet table"),
        ("search", "Search an embedded table"),
        ("import", "Turn a published checkpoint into a model folder"),
        ("push", "Upload a model with its card to the hub"),
        ("export", "Write a tower as a torch.export program or ONNX, and compare"),
        ("demo", "Search every modality in a local page"),
        ("doctor", "Prove on this machine that gradients are exact, and say what is installed"),
        ("conformance", "Try everything that a part or a plugin promises"),
        ("new-plugin", "Write the package of a new tower, loss, reader or modality"),
    ):
        module = {"import": "import_"}.get(name, name.replace("-", "_"))
        yield CommandSpec(name=name, target=f"anyclip.cli.{module}:command", summary=summary)


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="toy",
        suffixes=(".toy.npy",),
        synthetic="anyclip.testing.toy:render",
        preview="anyclip.testing.toy:preview",
        decode="anyclip.testing.toy:decode",
        summary="Plain vectors, for tests and for trying the core without plugins",
    )


@hookimpl
def anyclip_towers():
    yield TowerSpec(
        name="toy/mlp",
        target="anyclip.testing.toy:ToyTower",
        options="anyclip.testing.toy_options:ToyOptions",
        tiny={"size": 16, "width": 8},
        promises=("compiles", "exports"),
        summary="A small MLP on plain vectors",
    )
