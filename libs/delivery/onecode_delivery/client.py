"""Bring to this machine what the signed policy of its segment names, and nothing else.

The order is that of the threat model: signatures and versions of all metadata, then the policy itself, then the
manifest of each version by the digest that the policy names, then each file by the digest that the manifest names.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from onecode_common.clock import Clock
from onecode_common.errors import InvalidError, NotFoundError
from onecode_common.files import write_file
from onecode_common.ids import hex_of
from onecode_delivery import manifest as manifests
from onecode_delivery import policy as policies
from onecode_delivery.manifest import File, Manifest, parse_manifest
from onecode_delivery.metadata import TrustedMetadata
from onecode_delivery.policy import Policy, parse_policy
from onecode_delivery.record import PolicyRecord
from onecode_delivery.store import ModelStore, VerifiedVersion
from onecode_delivery.transport import Http, download


class Delivery:
    """Everything between the distribution and verified bytes, for one segment. Safe to use from several threads.

    Args:
        directory: Its own folder: ``metadata``, ``objects``, ``tmp`` and the record of the accepted policy.
        distribution_url: ``http(s)://host:port`` of the distribution, with or without ``/distribution/v1``.
        tenant: Whose policies are read.
        segment: Where this machine belongs.
        token: Returns the access token for the distribution.
        root: TUF root metadata, shipped with the enrolment or beside the settings.
        clock: For expiry; never believed when it stands before the newest signed time.
    """

    def __init__(
        self,
        directory: Path,
        distribution_url: str,
        tenant: str,
        segment: str,
        token: Callable[[], str],
        root: bytes,
        clock: Clock,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        url = distribution_url.rstrip("/").removesuffix("/distribution/v1")
        self._url = f"{url}/distribution/v1"
        self._directory = directory
        self._tenant, self._segment = tenant, segment
        self._root = root
        self._clock = clock
        self._http = Http(token)
        self._record = PolicyRecord(directory, segment)
        self._metadata: TrustedMetadata | None = None
        self._lock = threading.RLock()
        self._fetching = threading.Lock()
        self.store = ModelStore(directory)
        self.store.empty_tmp()

    def refresh(self) -> tuple[Policy, bytes]:
        """Return the segment's newest policy, verified, and its bytes; the generation never goes down.

        Raises:
            UnavailableError: The distribution does not answer: go on with :meth:`accepted`.
            UnauthenticatedError: It refuses the token.
            NotFoundError: ``sync.no_policy``: nothing was signed for this segment yet.
            InvalidError: ``sync.<reason>``: something is wrong with what it sent; the last good policy stays.
        """
        with self._lock:
            metadata = TrustedMetadata(self._directory, self._url, self._http, self._root)
            self._metadata = None
            metadata.refresh(self._now())
            try:
                content, _ = metadata.target(f"fleet/{self._segment}/policy.json", policies.MAX_BYTES)
            except NotFoundError as error:
                message = f"nothing is signed for segment {self._segment!r} yet"
                raise NotFoundError(message, code="sync.no_policy") from error
            metadata.check_expiry(("fleet",), self._now())
            policy = parse_policy(content, self._tenant, self._segment)
            self._record.accept(policy, content)
            metadata.flush()
            self._metadata = metadata
            return policy, content

    def accepted(self) -> tuple[Policy, bytes] | None:
        """Return the newest policy that was ever accepted here, from the disk; None if there is none."""
        with self._lock:
            last = self._record.load()
            if last is None or not last.content:
                return None
            return parse_policy(last.content, self._tenant, self._segment), last.content

    def manifest(self, model: str, release: int, digest: str) -> bytes:
        """Return a version's manifest, signed by who publishes models, with the digest that the policy names.

        Raises:
            InvalidError: ``sync.digest_mismatch``: the two signers do not mean the same version; or another reason.
            NotFoundError: ``sync.no_target``: the version was never published.
            UnavailableError: The distribution does not answer.
        """
        wanted = hex_of(digest)
        with self._lock:
            if self.store.path(wanted).exists():
                try:
                    return self.store.manifest(digest).content
                except (InvalidError, NotFoundError):
                    self.store.path(wanted).unlink(missing_ok=True)
            content = self._signed_manifest(model, release, wanted)
            found = parse_manifest(content)
            if (found.model, found.release) != (model, release):
                message = f"the manifest is of {found.model!r} release {found.release}, wanted {model!r} {release}"
                raise InvalidError(message, code="sync.digest_mismatch")
            self.store.add(wanted, content)
            return content

    def fetch(self, manifest: bytes) -> Manifest:
        """Bring every file of a version to this disk, each verified; what a cut left is continued.

        Raises:
            InvalidError: ``sync.<reason>``: the manifest or a file is not what it must be.
            NotFoundError, UnauthenticatedError, UnavailableError: See :func:`~onecode_delivery.transport.download`.
            ExhaustedError: ``sync.space`` before anything came, or the disk filled up.
        """
        parsed = parse_manifest(manifest)
        # Not the lock of the metadata: a newer policy must be found while an old version still arrives.
        with self._fetching:
            missing = [file for file in parsed.files if not self.store.has(file.hex, file.length)]
            self.store.check_space(sum(file.length for file in missing))
            self.store.add(hex_of(parsed.digest), manifest)
            for file in missing:
                self._fetch_file(file)
        return parsed

    def open_version(self, digest: str) -> VerifiedVersion:
        """Return a version's bytes, hashed now; needs no network. Raises as :meth:`ModelStore.open_version` does."""
        return self.store.open_version(digest)

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def _fetch_file(self, file: File) -> None:
        part = self.store.tmp / f"{file.hex}.part"
        if file.length == 0:
            write_file(part, b"")
        download(self._http, f"{self._url}/objects/{file.hex}", part, file.hex, file.length)
        self.store.adopt(file.hex, part)

    def _signed_manifest(self, model: str, release: int, wanted: str) -> bytes:
        metadata = self._metadata
        if metadata is None:
            metadata = TrustedMetadata(self._directory, self._url, self._http, self._root)
            metadata.refresh(self._now())
        content, info = metadata.target(f"models/{model}/{release}/manifest.json", manifests.MAX_BYTES)
        metadata.check_expiry(("models",), self._now())
        metadata.flush()
        if info.hashes["sha256"] != wanted:
            message = f"{model!r} release {release} is published as {info.hashes['sha256']}, the policy names {wanted}"
            raise InvalidError(message, code="sync.digest_mismatch", hint="the version is not installed")
        return content

    def _now(self) -> datetime:
        last = self._record.load()
        now = self._clock.now()
        return max(now, last.floor) if last else now
