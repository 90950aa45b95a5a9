"""Files: pictures in, videos out."""

from luma_async.image_sources import Picture
from luma_async.media.downloads import Download
from luma_async.media.image_reader import image_from

__all__ = ["Download", "Picture", "image_from"]
