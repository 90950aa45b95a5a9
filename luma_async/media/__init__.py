"""Files: pictures in, videos out."""

from luma_async.media.images import image_from
from luma_async.pictures import Picture

__all__ = ["Picture", "image_from"]
