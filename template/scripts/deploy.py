"""Deploys to a cluster, goes back, and says what is there.

    deploy.py deploy          apply an environment, wait until it serves, or go back by itself
    deploy.py diff            what a deployment would change
    deploy.py status          what runs, by digest
    deploy.py doctor          what the cluster lacks
    deploy.py rollback        go back to the release before, or to a digest
    deploy.py rollback-drill  break a release on purpose, go back, and write down how it went
    deploy.py secret          send the database's password, read from stdin or a prompt

Exit code 0: fine; 1: something was found, or a release failed; 2: could not run, one line says
why, and nothing was changed.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import os
import signal
import sys
from pathlib import Path

from cluster import (
    CannotRunError,
    Cluster,
    Resource,
    build,
    connect,
    folder_of,
    joined,
    problem,
    split,
)
from doctor import doctor
from drill import drill
from release import (
    Image,
    Past,
    Progress,
    as_applied,
    complaints,
    image_of,
    parse_digest,
    parse_image,
    read_release,
    release_before,
    release_of,
    write_release,
)
from rollout import (
    FailedError,
    Release,
    applied,
    exists,
    forced,
    give_back,
    make_namespace,
    mark,
    migrate,
    now,
    pasts_of,
    progress_of,
    refuse_unless_accepted,
    refuse_unless_pulled,
    refuse_without_secrets,
    release_for,
    serving,
    skip_steps,
    wait,
    what_pods_say,
    with_template,
)


def chosen_image(environment: str, digest: str, image: str) -> Image:
    """Return the image to deploy: of the command line, else of release/."""
    written = read_release(folder_of(environment))
    if image:
        chosen = parse_image(image)
        if digest and parse_digest(digest) != chosen.digest:
            raise CannotRunError("DIGEST= and IMAGE= name two digests: give one of them")
        return chosen
    if digest:
        return Image(written.repository, parse_digest(digest))
    if not written.digest:
        raise CannotRunError(
            f"nothing has been released to {environment} yet: push an image, then give its digest"
            f" (DIGEST=sha256:…)"
        )
    return written


# DEPLOY ---------------------------------------------------------------------


def deploy(cluster: Cluster, image: Image, options: argparse.Namespace) -> None:
    """Bring a release into an environment, or leave the environment as it was."""
    release = release_for(cluster, image)
    make_namespace(release)
    refuse_unless_accepted(cluster, joined(release.standing), *forced(options))
    if (job := release.migration) and not cluster.read("job", job.name):
        refuse_unless_accepted(cluster, job.text)
    refuse_without_secrets(release)
    refuse_unless_pulled(release)
    before = serving(release)
    with applied(cluster):
        migrate(release, options)
        print(f"applying {image} to {cluster.namespace}", flush=True)
        cluster.apply(joined(release.standing), *forced(options))
        progress = wait(release, options.timeout)
        if progress.state != "serving":
            give_up(release, progress, before, options)
        mark(release, "")
    print(f"{cluster.service} in {cluster.environment}: {progress.says}, {image.digest}")
    note(cluster, image)


def give_up(
    release: Release, progress: Progress, before: Past | None, options: argparse.Namespace
) -> None:
    """Say why a release failed, and go back to the one that served before it."""
    print(f"{release.image.digest} does not serve: {progress.says}")
    for line in what_pods_say(release):
        print(f"  {line}")
    if before is None:
        raise FailedError("nothing served before, so there is nothing to go back to: fix forward")
    if before.replica_set == pasts_of(release)[0][0].replica_set:
        raise FailedError(f"{progress.says}; its pods are those that ran before: nothing to undo")
    back = give_back(release, before, options)
    if back.state != "serving":
        raise FailedError(f"{progress.says}; going back to {before.image.digest}: {back.says}")
    raise FailedError(f"{progress.says}; {before.image.digest} serves again, release/ is as it was")


def note(cluster: Cluster, image: Image) -> None:
    """Write what runs into release/, so that git says it too."""
    folder = folder_of(cluster.environment)
    if image.digest and write_release(folder, image):
        print(f"{folder / 'release'} names it now: commit and push that")


# ROLLBACK -------------------------------------------------------------------


def rollback(cluster: Cluster, to: str, options: argparse.Namespace) -> None:
    """Go back to the release before, or to a digest; the database stays as it is."""
    deployment = cluster.read("deployment", cluster.service)
    if deployment is None:
        raise CannotRunError(f"{cluster.service} does not run in {cluster.namespace}")
    runs = image_of(deployment["spec"]["template"]["spec"])
    release = release_for(cluster, runs)
    pasts, _ = pasts_of(release)
    past = release_of(pasts, to) if to else release_before(pasts)
    if past is None and not to:
        raise CannotRunError(
            f"the cluster remembers no release before {runs.digest}: give one, TO=sha256:… (git log"
            f" -p -- {folder_of(cluster.environment) / 'release'} lists them)"
        )
    if past and past.template["spec"] == as_applied(deployment["spec"]["template"])["spec"]:
        raise CannotRunError(f"{past.image.digest} is what runs now")
    image = past.image if past else Image(runs.repository, to)
    target = release_for(cluster, image)
    manifests = with_template(target, past.template) if past else joined(target.standing)
    refuse_unless_accepted(cluster, manifests, *forced(options))
    # Nobody pulls for pods that were kept; and a registry may be away while nodes have the image.
    if not (past and past.available) and not options.force:
        refuse_unless_pulled(target)
    print(f"going back from {runs.digest} to {image.digest}", flush=True)
    if past and image == runs:
        print("  the same image, as it was configured before", flush=True)
    if past is None:
        print("  the cluster no longer remembers it: with the configuration of now", flush=True)
    with applied(cluster):
        mark(release, now())
        cluster.apply(manifests, *forced(options))
        skip_steps(target)
        progress = wait(target, options.timeout)
        if progress.state != "serving":
            for line in what_pods_say(target):
                print(f"  {line}")
            raise FailedError(f"{image.digest} does not serve: {progress.says}")
    print(f"{cluster.service} in {cluster.environment}: {progress.says}, {image.digest}")
    note(cluster, image)
    release_folder = folder_of(cluster.environment) / "release"
    print(f"where GitOps deploys, revert instead: git log -- {release_folder}; git revert COMMIT")


# DIFF, STATUS, SECRET -------------------------------------------------------


def diff(cluster: Cluster, image: Image, options: argparse.Namespace) -> None:
    """Print what a deployment would change."""
    release = release_for(cluster, image)
    if not exists(cluster):
        print(f"{cluster.namespace} is not there yet; a deployment makes it, and in it:")
        for one in release.standing:
            print(f"  {one.kind} {one.name}")
        return
    if (job := release.migration) and not cluster.read("job", job.name):
        print(f"{job.name} would migrate the database first")
    done = cluster.run(
        *("diff", "--server-side", f"--field-manager={cluster.manager}", *forced(options)),
        "--filename=-",
        given=joined(release.standing),
    )
    if done.returncode > 1:
        raise CannotRunError(problem(done.stderr))
    print(done.stdout.rstrip() or "nothing would change")


def status(cluster: Cluster) -> None:
    """Print what runs, how well, and what happened last."""
    written = read_release(folder_of(cluster.environment))
    deployment = cluster.read("deployment", cluster.service)
    print(f"{cluster.service} in {cluster.namespace}, context {cluster.context}")
    if deployment is None:
        print("nothing runs there")
        return
    release = Release(cluster, written, split(build(cluster.environment)))
    runs = image_of(deployment["spec"]["template"]["spec"])
    agrees = "" if runs == written else f"; release/ says {written.digest or 'nothing yet'}"
    print(f"image       {runs.digest or runs.repository}{agrees}")
    progress = progress_of(release)
    print(f"rollout     {progress.state}: {progress.says}")
    for one in cluster.every("horizontalpodautoscalers"):
        spec, state = one["spec"], one.get("status", {})
        print(
            f"autoscaler  {state.get('currentReplicas', 0)} pods, wants"
            f" {state.get('desiredReplicas', 0)}, {spec.get('minReplicas', 1)} to"
            f" {spec['maxReplicas']}"
        )
    pods = cluster.every("pods", f"--selector=app.kubernetes.io/name={cluster.service}")
    for pod in pods:
        states = pod.get("status", {}).get("containerStatuses", [])
        ready = "ready" if states and all(one["ready"] for one in states) else "not ready"
        again = sum(one["restartCount"] for one in states)
        digest = image_of(pod["spec"]).digest
        node = pod["spec"].get("nodeName", "no node")
        print(f"pod         {pod['metadata']['name']} {ready}, {again} restarts, {node}, {digest}")
    for line in complaints(pods):
        print(f"            {line}")
    for past in pasts_of(release)[0][1:4]:
        given_up = f", rolled back {past.rolled_back}" if past.rolled_back else ""
        print(f"before      {past.image.digest} revision {past.revision}{given_up}")
    warnings = cluster.every("events", "--field-selector=type=Warning")
    for one in sorted(warnings, key=when)[-5:]:
        said = " ".join(one.get("message", "").split())
        place = one["involvedObject"]["name"]
        print(f"event       {when(one)} {place}: {one.get('reason')}: {said}")


def when(event: Resource) -> str:
    """Return when an event happened last."""
    told = event.get("lastTimestamp") or event.get("eventTime")
    return str(told or event["metadata"]["creationTimestamp"])


def secret(cluster: Cluster) -> None:
    """Send the database's password to the cluster: by stdin, and nowhere else."""
    prompt = f"password of the database in {cluster.environment} (not shown): "
    value = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.read()
    value = value[:-1] if value.endswith("\n") else value
    if not value:
        raise CannotRunError("the password is empty: type it, or send it by stdin")
    if not exists(cluster):
        manifests = split(build(cluster.environment))
        cluster.apply(joined(one for one in manifests if one.kind == "Namespace"))
    resource = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{cluster.service}-database", "namespace": cluster.namespace},
        "data": {"password": base64.b64encode(value.encode()).decode()},
    }
    # Whoever set it before is meant to be overruled: that is what a new password is for.
    cluster.apply(json.dumps(resource), "--force-conflicts")
    print(
        f"{cluster.service}-database in {cluster.namespace} holds it; pods read it within a minute"
    )


# THE COMMAND LINE -----------------------------------------------------------


def arguments() -> argparse.Namespace:
    """Return the command line; what is not given is taken from the environment, as make sets it."""
    set_by = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = ("deploy", "diff", "status", "doctor", "rollback", "rollback-drill", "secret")
    parser.add_argument("command", choices=commands)
    parser.add_argument("environment", help="a folder of deploy/environments")
    parser.add_argument("--service", required=True, help="name of the service")
    parser.add_argument("--oldest", default="", help="oldest Kubernetes that has what is needed")
    parser.add_argument("--context", default=set_by("CONTEXT", ""), help="of kubectl")
    parser.add_argument("--digest", default=set_by("DIGEST", ""), help="of the image to deploy")
    parser.add_argument("--image", default=set_by("IMAGE", ""), help="REPOSITORY@DIGEST to deploy")
    parser.add_argument("--to", default=set_by("TO", ""), help="digest to go back to")
    parser.add_argument("--url", default=set_by("URL", ""), help="address that a drill asks")
    parser.add_argument(
        "--timeout",
        default=set_by("TIMEOUT") or "1800",
        help="seconds that a rollout may take in all",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        default=set_by("FORCE", "") == "1",
        help="take over fields that somebody else set; go back without asking for the image",
    )
    options = parser.parse_args()
    try:
        options.timeout = float(options.timeout)
    except ValueError as error:
        raise CannotRunError(f"TIMEOUT={options.timeout} is not a number of seconds") from error
    return options


def run(options: argparse.Namespace) -> bool:
    """Run one command; whether it is content. What can be refused without a cluster comes first."""
    command, environment = options.command, options.environment
    folder_of(environment)
    to = parse_digest(options.to) if options.to else ""
    image = None
    if command in ("deploy", "diff"):
        image = chosen_image(environment, options.digest, options.image)
    cluster = connect(options.service, environment, options.context)
    if image and command == "deploy":
        deploy(cluster, image, options)
    elif image:
        diff(cluster, image, options)
    elif command == "rollback":
        rollback(cluster, to, options)
    elif command == "rollback-drill":
        return drill(cluster, options)
    elif command == "doctor":
        return doctor(cluster, options.oldest)
    elif command == "status":
        status(cluster)
    else:
        secret(cluster)
    return True


def main() -> int:
    """Run the command line; return the exit code."""
    os.chdir(Path(__file__).resolve().parent.parent)
    # A pipeline that is cancelled, a connection that is cut: a drill goes back all the same.
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.default_int_handler)
    try:
        return 0 if run(arguments()) else 1
    except (CannotRunError, FailedError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 2 if isinstance(error, CannotRunError) else 1
    except KeyboardInterrupt:
        print("deploy: interrupted; what was applied goes on: see make status", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
