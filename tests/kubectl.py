"""What needs kubectl."""

import shutil

import pytest

# It is a tool of the user, as of whoever deploys a service: no engine puts it on the PATH. Where
# it is missing the rest is shown all the same, and the summary names what was left out.
needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not on the PATH"
)
