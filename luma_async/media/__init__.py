"""Files: pictures in, videos out."""

from luma_async.media.delivery import Download
from luma_async.media.images import image_from
from luma_async.pictures import Picture

__all__ = ["Download", "Picture", "image_from"]
