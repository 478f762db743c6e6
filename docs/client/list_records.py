"""Lists the records of one organization: an internal service that is not written in Rust.

It gets an access token with its client credentials and calls records-service over gRPC. Settings
come from the environment; README.md beside this file names them and says how to run it.
"""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import grpc

from records.v1 import actor_pb2, records_service_pb2, records_service_pb2_grpc

# Replicas come and go: spread calls over all addresses of the name, and send again what one of
# them could not take. Each call, with all its attempts, has five seconds. What was too much at
# once (RESOURCE_EXHAUSTED) is not sent again here: it says itself when to come back.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "records.v1.RecordsService"}],
            "timeout": "5s",
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.5s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


class Tokens:
    """Access tokens of one organization, each used until shortly before its end."""

    def __init__(self, issuer, audience, organization, client_id, client_secret):
        self._url = urllib.parse.urljoin(issuer, "oauth/token")
        self._form = {
            "grant_type": "client_credentials",
            "audience": audience,
            "organization": organization,
            "client_id": client_id,
            "client_secret": client_secret,
        }
        self._token = ""
        self._renew_at = 0.0

    def get(self):
        """A token that is good for a minute at least. Asking for one with every call would be
        slow, and Auth0 bills machine tokens by their number."""
        if time.monotonic() >= self._renew_at:
            body = urllib.parse.urlencode(self._form).encode()
            with urllib.request.urlopen(self._url, body, timeout=5) as answer:
                tokens = json.load(answer)
            self._token = tokens["access_token"]
            self._renew_at = time.monotonic() + tokens["expires_in"] - 60
        return self._token


def pem(setting):
    """What is in the file that a setting names, where it is set."""
    path = os.environ.get(setting)
    return pathlib.Path(path).read_bytes() if path else None


def connect(url):
    """A channel to records-service: encrypted, or in the clear where that is asked for by name."""
    address = urllib.parse.urlsplit(url)
    may_be_clear = os.environ.get("RECORDS_SERVICE_PLAINTEXT") == "true"
    in_the_clear = address.scheme == "http" and may_be_clear
    if address.scheme != "https" and not in_the_clear:
        sys.exit(f"{url}: the token goes over https, or http with RECORDS_SERVICE_PLAINTEXT=true")
    target = f"dns:///{address.hostname}:{address.port or (80 if in_the_clear else 443)}"
    options = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
    if address.scheme == "https":
        credentials = grpc.ssl_channel_credentials(
            pem("RECORDS_SERVICE_CA"),
            pem("RECORDS_SERVICE_CLIENT_KEY"),
            pem("RECORDS_SERVICE_CLIENT_CERT"),
        )
        return grpc.secure_channel(target, credentials, options)
    return grpc.insecure_channel(target, options)


def records(channel, tokens):
    """All records, newest first, page by page."""
    stub = records_service_pb2_grpc.RecordsServiceStub(channel)
    request = records_service_pb2.ListRecordsRequest(page_size=100)
    while True:
        metadata = [("authorization", f"Bearer {tokens.get()}")]
        page = stub.ListRecords(request, metadata=metadata)
        yield from page.records
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def main():
    setting = os.environ.__getitem__
    tokens = Tokens(
        setting("AUTH0_ISSUER_URL"),
        setting("AUTH0_AUDIENCE"),
        setting("ORGANIZATION"),
        setting("CLIENT_ID"),
        setting("CLIENT_SECRET"),
    )
    try:
        with connect(setting("RECORDS_SERVICE_URL")) as channel:
            for record in records(channel, tokens):
                kind = actor_pb2.ActorKind.Name(record.creator.kind).removeprefix("ACTOR_KIND_")
                title = record.fields["title"].string_value
                created = record.create_time.ToJsonString()
                print(f"{created}  {title}  ({record.creator.display_name}, {kind.lower()})")
    except urllib.error.HTTPError as error:
        sys.exit(f"no token: {error.code} {json.load(error).get('error_description', '')}")
    except urllib.error.URLError as error:
        sys.exit(f"no token: {error.reason}")
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
