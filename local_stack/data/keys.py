"""The credentials of a data folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass

from local_stack.data.folder import DataFolder, write_json
from local_stack.errors import DataMismatch


@dataclass(frozen=True)
class Keys:
    """Credentials, generated once for a data folder; for development only."""

    publishable: str
    secret: str
    token_secret: str


def load_keys(folder: DataFolder) -> Keys:
    """The keys of the folder, generated at the first call (file mode 600). Raises DataMismatch if the file cannot be read."""
    try:
        return Keys(**json.loads(folder.keys_file.read_text()))
    except FileNotFoundError:
        keys = Keys(f"pk_dev_{secrets.token_urlsafe(24)}", f"sk_dev_{secrets.token_urlsafe(24)}", secrets.token_urlsafe(48))
        write_json(folder.keys_file, asdict(keys), mode=0o600)
        return keys
    except (ValueError, TypeError) as error:
        raise DataMismatch("keys", f"{folder.keys_file} cannot be read: {error}", f"delete {folder.keys_file}") from error
