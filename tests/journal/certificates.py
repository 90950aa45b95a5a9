"""Certificates for tests: an authority, a server, and a user."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.journal.postgres import binary


@dataclass(frozen=True, slots=True)
class Certificates:
    """A folder with `ca.pem`, `server.pem`, `user.pem`, their keys (`.key`) and `revoked.pem`."""

    folder: Path

    def __getitem__(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def path(self, name: str) -> str:
        return str(self.folder / name)


def make_certificates(folder: Path) -> Certificates:
    """Have openssl make them; the server's is for `localhost` alone."""
    openssl = binary("openssl", "openssl")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "crl.cnf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=index\ndefault_md=sha256\n")
    (folder / "index").touch()
    run("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    run(
        *("ca", "-gencrl", "-config", "crl.cnf", "-crldays", "2"),
        *("-cert", "ca.pem", "-keyfile", "ca.key", "-out", "revoked.pem"),
    )
    run("req", "-x509", *new_key, "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=other")
    for name, subject in (("server", "localhost"), ("user", "shower")):
        run(
            *("req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.pem"),
            *("-subj", f"/CN={subject}", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-addext", f"subjectAltName=DNS:{subject}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )
        (folder / f"{name}.key").chmod(0o600)
    return Certificates(folder)
