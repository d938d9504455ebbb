#!/usr/bin/python3 -SE
"""A stand-in for launchctl and launchd: keeps its state in $LAUNCHD_STATE, and answers as the real one is known to (see
src/install/launchd/launchctl.ts). Files in there steer it: `fail-COMMAND` has numbers to fail with, one for each call;
`no-domain` is the number that says that the domain is not there; `going` is for how many seconds an older service is still known
after bootout; `dies` is a call, as `before disable LABEL` or `after ...`, at which whoever makes it is killed. `calls` has what was asked for, `keepers` every process that keeps a program running; none begins once there is `over`."""
import os, sys, time  # each further one takes milliseconds, and the tests call this hundreds of times

STATE = os.environ["LAUNCHD_STATE"]
SIGKILL, SIGTERM = 9, 15
WORDS = {3: "No such process", 5: "Input/output error", 36: "Operation now in progress", 37: "Operation already in progress",
         1: "Operation not permitted", 119: "Service is disabled", 125: "Domain does not support specified action"}


# Of another service than ours, `service` and `pid` have its label behind them.
OURS = "dev.tunneld.tunneld"
suffix = ""


def about(label):
    global suffix
    suffix = "" if label == OURS else f"-{label}"


def path(name):
    return os.path.join(STATE, name + suffix if name in ("service", "pid") else name)


def read(name, default=None):
    try:
        with open(path(name)) as file:
            return file.read().strip()
    except FileNotFoundError:
        return default


def write(name, text):
    with open(path(name) + ".new", "w") as file:
        file.write(text)
    os.replace(path(name) + ".new", path(name))


def remove(name):
    try:
        os.remove(path(name))
    except FileNotFoundError:
        pass


def say(text, code):
    print(text, file=sys.stderr)
    sys.exit(code)


def fail(verb, code):
    say(f"{verb} failed: {code}: {WORDS[code]}\nTry re-running the command as root for richer errors.", code)


def loaded():
    """As launchd does, this forgets a service that goes only when its program has ended."""
    words = (read("service") or "").split()
    service = {"keeper": int(words[0])} if words else None
    if words[1:]:
        service["until"] = float(words[2])
    if service and service.get("until", time.time() + 1) < time.time() and not lives(service["keeper"]):
        remove("service")
        return None
    return service


def goes():
    return "until" in (loaded() or {"until": 0})


def lives(pid):
    """One that has ended lives no more, though nobody has asked for its exit code yet."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def no_such_service(target):
    label = target.split("/")[-1]
    say(f'Could not find service "{label}" in domain for {target[: -len(label) - 1]}', 113)


def keep(target, plist):
    """What launchd itself does: runs the program, again after any end, until the service is booted out."""
    import plistlib, signal, subprocess
    # Told to end before it can, it does so as soon as it can.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # First: whoever ends the test finds it here, or it finds that the test is over.
    with open(path("keepers"), "a") as file:
        file.write(f"{os.getpid()}\n")
    if read("over") is not None:
        return
    write("service", str(os.getpid()))
    with open(plist, "rb") as file:
        job = plistlib.load(file)
    os.umask(job.get("Umask", 0o022))
    error = job.get("StandardErrorPath", "/dev/null")
    child = None

    def end(*_):
        if child:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    while not goes():
        started = time.time()
        with open(error, "ab") as stderr:
            child = subprocess.Popen(job["ProgramArguments"], env=job.get("EnvironmentVariables", {}), cwd="/",
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
        write("pid", str(child.pid))
        if goes():
            child.terminate()
        child.wait()
        remove("pid")
        # ThrottleInterval, for tests that do not wait so long
        time.sleep(max(0, 0.5 - (time.time() - started)))


def label_in(plist):
    import plistlib
    try:
        with open(plist, "rb") as file:
            return plistlib.load(file)["Label"]
    except Exception:
        return OURS


def dies(when, command, label):
    """Once, and not its rescuer."""
    if read("dies") == f"{when} {command} {label}":
        remove("dies")
        os.kill(os.getppid(), SIGKILL)
        return True
    return False


def main(command, *args):
    if command == "keep":
        about(args[0].split("/")[-1])
        return keep(*args)
    label = label_in(args[1]) if command == "bootstrap" else args[-1].split("/")[-1]
    if dies("before", command, label):
        return
    call(command, *args)
    dies("after", command, label)


def call(command, *args):
    with open(path("calls"), "a") as file:
        file.write(" ".join([command, *args]) + "\n")
    verb = {"bootstrap": "Bootstrap", "bootout": "Boot-out"}.get(command, command)
    codes = (read(f"fail-{command}") or "").split()
    if codes:
        write(f"fail-{command}", "\n".join(codes[1:]))
        fail(verb, int(codes[0]))
    target = args[-1] if command != "bootstrap" else args[0]
    about(label_in(args[1]) if command == "bootstrap" else target.split("/")[-1])
    no_domain = read("no-domain")
    if no_domain and command != "enable" and command != "disable":
        if command == "print" or no_domain == "112":
            say("Could not find domain for user gui: 501", 112)
        fail(verb, int(no_domain))
    service = loaded()
    if command == "print":
        if not service:
            no_such_service(target)
        print(f"{target} = {{\n\tstate = running\n}}")
    elif command == "bootout":
        if not service:
            fail(verb, 3)
        if "until" in service:
            fail(verb, 36)
        write("service", f'{service["keeper"]} until {time.time() + float(read("going", "0"))}')
        if lives(service["keeper"]):
            os.kill(service["keeper"], SIGTERM)
    elif command == "bootstrap":
        if service:
            fail(verb, 37 if "until" in service and read("says-37") else 5)
        import plistlib, subprocess
        try:
            with open(args[1], "rb") as file:
                label = plistlib.load(file)["Label"]
        except Exception:
            fail(verb, 5)
        if read(f"disabled-{label}") is not None:
            print(f"{args[1]}: Service is disabled", file=sys.stderr)
            fail(verb, 119)
        keeper = subprocess.Popen([sys.executable, __file__, "keep", f"{target}/{label}", args[1]], start_new_session=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not loaded() and keeper.poll() is None:
            time.sleep(0.01)
    elif command == "enable":
        remove(f"disabled-{target.split('/')[-1]}")
    elif command == "disable":
        write(f"disabled-{target.split('/')[-1]}", "")
    elif command in ("kickstart", "kill"):
        if not service:
            no_such_service(target)
        if command == "kill":
            if not read("pid"):
                say("No process to signal.", 3)
            import signal
            os.kill(int(read("pid")), getattr(signal, args[0]))
    else:
        say(f"Unrecognized subcommand: {command}", 64)


main(*sys.argv[1:])
