"""What ``report.json`` holds, field by field with units; ``disentangle evaluate --schema`` prints it for programs."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

Pair = tuple[float, float]


class ScoreFile(TypedDict):
    """One number of a report."""

    name: Annotated[str, Field(description="what it is called")]
    variant: Annotated[str, Field(description="the definition and its settings; others are not comparable")]
    value: Annotated[float, Field(description="the number, in `unit`")]
    better: Literal["higher", "lower", ""]
    range: Annotated[tuple[float | None, float | None], Field(description="least and greatest possible; null for none")]
    explanation: Annotated[str, Field(description="one sentence on what it measures")]
    baselines: Annotated[dict[str, float], Field(description="reference points, computed in the same way")]
    spreads: Annotated[dict[str, float], Field(description="standard deviations of reference points over seeds")]
    interval: Annotated[Pair | None, Field(description="95 % interval over the choice of samples")]
    resamples: Annotated[list[float], Field(description="values whose standard deviation is the standard error")]
    unit: Annotated[str, Field(description="of the value; empty for a pure number")]
    settings: Annotated[dict[str, Any], Field(description="what it was computed with")]
    parts: Annotated[
        dict[str, Any],
        Field(description="what it was made of: mutual information and entropies in nats, importances as shares"),
    ]
    notes: Annotated[list[str], Field(description="what a reader must know")]


class AbsentFile(TypedDict):
    """A score that cannot be had."""

    name: str
    reason: str


class CodesFile(TypedDict):
    """The codes, one entry each."""

    names: list[str]
    variance: Annotated[list[float], Field(description="over the data, in squared units of the code")]
    kl: Annotated[list[float] | None, Field(description="mean divergence from the prior in nats")]
    active: Annotated[list[bool], Field(description="whether it is in use")]


class DirectionFile(TypedDict):
    """A direction."""

    name: str
    activeness: Annotated[float, Field(description="variance of a pixel in [-1, 1] between −2, 0 and 2 σ")]
    latent: Annotated[int | None, Field(description="which latent it moves, if it moves one alone")]
    doubts: Annotated[list[str], Field(description="what speaks against it")]
    moves: NotRequired[Annotated[str, Field(description="the known factor that it moves most; empty for none")]]
    purity: NotRequired[Annotated[float, Field(description="share of that factor in all that it moves")]]
    factor: NotRequired[Annotated[str, Field(description="the factor that its code knows most about")]]
    share: NotRequired[Annotated[float, Field(description="how much of the factor's entropy that is")]]


class DirectionsFile(TypedDict):
    """The directions of a generator."""

    discoverer: str
    count: int
    positions: Annotated[list[float], Field(description="of the pictures of a strip, in σ")]
    all: list[DirectionFile]
    shown: Annotated[list[int], Field(description="which of them have a strip in the page, the best first")]
    collapsed: Annotated[list[str], Field(description="layers none of whose directions changes the picture")]


class DifferenceFile(TypedDict):
    """A score beside that of another run."""

    name: str
    value: float
    other: float
    difference: float
    interval: Annotated[Pair | None, Field(description="95 % interval of the difference")]
    paired: Annotated[bool, Field(description="whether both were resampled on the same rows")]
    comparable: Annotated[bool, Field(description="whether both are of one variant, on the same data")]
    verdict: Annotated[
        Literal["better", "worse", "not clear", ""], Field(description="empty where there is no interval to tell by")
    ]


class AgainstFile(TypedDict):
    """The comparison with another run."""

    run: str
    step: int | None
    weights: str | None
    scores: list[DifferenceFile]


class ReportFile(TypedDict):
    """The contents of ``report.json``."""

    version: Annotated[Literal[3], Field(description="of this schema")]
    run: Annotated[str, Field(description="name of the run, or of the file of codes")]
    kind: Literal["gan", "vae", "diffusion", "classifier", "codes"]
    model: NotRequired[str]
    step: NotRequired[Annotated[int, Field(description="training step of the checkpoint")]]
    seed: int
    weights: NotRequired[Annotated[str, Field(description="SHA-256 of the weights")]]
    data: Annotated[dict[str, Any], Field(description="name, size in pixels, channels, pictures, factors")]
    samples: Annotated[dict[str, int], Field(description="how many of each were measured")]
    scores: list[ScoreFile]
    not_applicable: list[AbsentFile]
    notes: list[str]
    codes: NotRequired[CodesFile | None]
    encoder: NotRequired[dict[str, Any] | None]
    directions: NotRequired[DirectionsFile]
    against: NotRequired[AgainstFile]
    classes: NotRequired[list[str]]
    confusion: NotRequired[dict[str, Any]]
    mistakes: NotRequired[list[dict[str, Any]]]
    conditioning: NotRequired[dict[str, Any]]
    versions: Annotated[dict[str, str], Field(description="of what decides the numbers")]
    seconds: Annotated[dict[str, float], Field(description="that each step took")]
    created: Annotated[str, Field(description="when, ISO 8601, UTC")]
    command: Annotated[str, Field(description="makes this report again")]


ADAPTER: TypeAdapter[ReportFile] = TypeAdapter(ReportFile)
"""Checks the contents of a report."""


def schema() -> dict[str, Any]:
    """The JSON Schema of ``report.json``."""
    return ADAPTER.json_schema()
