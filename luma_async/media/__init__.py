"""Media: read the input images of requests, and download the files of jobs."""

from luma_async.image_sources import Image
from luma_async.media.downloads import CompletedDownload, Download, FailedDownload
from luma_async.media.image_reader import image_from

__all__ = ["CompletedDownload", "Download", "FailedDownload", "Image", "image_from"]
