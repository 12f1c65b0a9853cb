"""Which journal SQLite can keep where a run lies."""

import re
from pathlib import Path

# WAL keeps an index in memory that all processes share, which no network file system offers.
_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.beegfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
        "virtiofs",
    }
)

# A space in a path is \040 there.
_ESCAPED = re.compile(r"\\([0-7]{3})")


def journal_mode(path: Path, *, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the journal for a database at this place.

    Args:
        path: The folder of the database, which exists.
        mounts: The system's table of mounted file systems.

    Returns:
        `wal`, or `delete` on a network file system. Where the table cannot be read, `wal`.
    """
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except (OSError, UnicodeError):
        return "wal"
    place = path.resolve()
    # Later lines lie over earlier ones, and the longest mount point is the nearest.
    nearest, kind = Path(), ""
    for _device, point, file_system, *_rest in (line for line in lines if len(line) > 2):
        mount = Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), point))
        if place.is_relative_to(mount) and len(mount.parts) >= len(nearest.parts):
            nearest, kind = mount, file_system
    return "delete" if kind in _NETWORK else "wal"
