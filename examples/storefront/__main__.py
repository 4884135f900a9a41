"""Run the shop: `python -m examples.storefront --host 127.0.0.1 --port 8080`. Settings: STOREFRONT_* (see settings.py)."""

from __future__ import annotations

import argparse
import logging
import sys

import uvicorn
from pydantic import ValidationError

from examples.storefront.app import create_app
from examples.storefront.settings import Settings

KEEP_ALIVE_SECONDS = 75
"""Longer than browsers and proxies keep an idle connection: 60 s is common."""


def main() -> int:
    """Serve until stopped; returns the exit code: 2 for an invalid setting."""
    parser = argparse.ArgumentParser(prog="examples.storefront", description="A small shop whose banner follows what a visitor just did.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default %(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        settings = Settings()  # type: ignore[call-arg]  # the fields come from the environment
    except ValidationError as problem:
        for error in problem.errors(include_input=False):
            print(f"STOREFRONT_{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}", file=sys.stderr)
        return 2
    if not settings.publishable_key.get_secret_value():
        logging.getLogger(__name__).warning("STOREFRONT_PUBLISHABLE_KEY is not set: every visitor sees the default banner")
    # Access logs would store what visitors looked at together with their IP addresses.
    uvicorn.run(
        create_app(settings),
        host=arguments.host,
        port=arguments.port,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        access_log=False,
        log_config=None,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
