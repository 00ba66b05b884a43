"""Frames to a video file that browsers and phones play."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from disentangle.errors import UserError

# One thread, as several may cut the picture into other parts; and nothing in the file that says when it was made.
CODEC = {"preset": "medium", "crf": "18", "threads": "1", "x264-params": "threads=1:lookahead-threads=1"}
CONTAINER = {"movflags": "+faststart", "fflags": "+bitexact"}


def mp4_bytes(frames: Sequence[Image.Image], fps: int = 20) -> bytes:
    """The frames as an MP4 file: H.264, yuv420p, its index in front; the same bytes for the same frames.

    Args:
        frames: RGB pictures of one size; an odd width or height gets one more white line, which the format needs.
        fps: frames in a second, 1 to 120.

    Raises:
        UserError: where the package ``av`` is missing, or was built without an encoder for H.264.
        ValueError: where there are no frames, their sizes differ, or ``fps`` is out of range.
    """
    if not frames or len({frame.size for frame in frames}) > 1 or not 1 <= fps <= 120:
        raise ValueError(f"expected frames of one size and 1 to 120 of them a second, got {len(frames)} and {fps}")
    try:
        import av
    except ImportError:
        raise UserError("videos need the package av: pip install 'disentangle-svd[video]'; GIFs work without") from None
    if "libx264" not in av.codec.codecs_available:
        raise UserError("the package av has no encoder for H.264 here: pip install --force-reinstall av; GIFs work")
    width, height = (side + side % 2 for side in frames[0].size)
    # A real file: FFmpeg opens it by its name a second time, to move the index to the front.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.mp4"
        with av.open(path, "w", options=CONTAINER) as container:
            stream = container.add_stream("libx264", rate=fps, options=CODEC)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in frames:
                padded = Image.new("RGB", (width, height), "white")
                padded.paste(frame, (0, 0))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(padded), format="rgb24")))
            container.mux(stream.encode(None))
        return path.read_bytes()
