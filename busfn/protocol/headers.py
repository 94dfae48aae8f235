"""Names of our message headers, and which headers may be published again."""

import re
from collections.abc import Mapping

PROTOCOL_VERSION = "1"

PROTOCOL = "Busfn-Protocol"
CALL = "Busfn-Call"
INDEX = "Busfn-Index"
COUNT = "Busfn-Count"
SELECT = "Busfn-Select"
ATTEMPT = "Busfn-Attempt"
CRASHES = "Busfn-Crashes"
DEADLINE = "Busfn-Deadline"
NOT_BEFORE = "Busfn-Not-Before"
REASON = "Busfn-Reason"
REPLY = "Busfn-Reply"
PARENT = "Busfn-Parent"
PATH = "Busfn-Path"
FUNCTION = "Busfn-Function"
SIGNATURE = "Busfn-Signature"
BLOB = "Busfn-Blob"
BLOB_REFERENCE = "Busfn-Blob-Reference"
STATUS = "Busfn-Status"
WORKER = "Busfn-Worker"
SEQUENCE = "Busfn-Sequence"
TOOK = "Busfn-Took"
OUTPUT = "Busfn-Output"
ANSWERED = "Busfn-Answered"
TIME = "Busfn-Time"
CONTENT_TYPE = "Content-Type"
ACCEPT = "Accept"
TRACE = "traceparent"
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"

_NAME = re.compile(r"[!-9;-~]+")


def publishable(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a received message as they can be published again: a server passes on names and line breaks that no
    client may send."""
    return {name: " ".join(value.split()) for name, value in headers.items() if _NAME.fullmatch(name)}
