"""Media: read the input images of requests, and download the files of jobs."""

from luma_async.image_sources import Image
from luma_async.media.downloads import Download
from luma_async.media.image_reader import image_from

__all__ = ["Download", "Image", "image_from"]
