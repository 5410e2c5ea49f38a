"""An S3-compatible store that checks signatures: moto, started as SeaweedFS is.

    weed mini -dir=FOLDER -bucket=NAME -ip.bind=ADDRESS

The one user has the keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Objects are in memory.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"  # read on import: no request goes unchecked

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

ANYTHING = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
)


def main() -> None:
    """Make the user and the bucket, and serve."""
    options = dict(word.lstrip("-").split("=") for word in sys.argv[2:])
    users = get_backend("iam")[DEFAULT_ACCOUNT_ID]["aws"]
    users.create_user("us-east-1", "mlflow")
    users.put_user_policy("mlflow", "anything", ANYTHING)
    key = users.create_access_key("mlflow", prefix="AKIA")
    key.access_key_id = os.environ["AWS_ACCESS_KEY_ID"]
    key.secret_access_key = os.environ["AWS_SECRET_ACCESS_KEY"]
    get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(options["bucket"], "us-east-1")
    s3 = DomainDispatcherApplication(create_backend_app)

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/healthz":
            start_response("200 OK", [])
            return [b""]
        return s3(environ, start_response)

    run_simple(options["ip.bind"], 8333, serve, threaded=True)


main()
