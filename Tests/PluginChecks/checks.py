"""All checks of the C plugins; started by `run`."""

import sys

import bench_checks
import debian_checks
import driver
import replay_checks
import shell_checks

if "--only-machine" in sys.argv:
    debian_checks.check_machine()
elif "--threads" in sys.argv:
    debian_checks.run_together()
    for plugin, handler, value in (
        ("replay", "task", {"seconds": 0.05}),
        ("shell", "run", {"command": "echo out; sleep 0.1 & true", "stdin": "x"}),
    ):
        end = driver.attempt(plugin, handler, value=value, together=8)
        driver.check(end.status == "done", f"{plugin} in 8 threads: {end}")
elif "--valgrind" in sys.argv:
    bench_checks.run_all()
    replay_checks.run_all()
    shell_checks.run_few()
    debian_checks.run_few()
else:
    bench_checks.run_all()
    replay_checks.run_all()
    shell_checks.run_all()
    debian_checks.run_all("--thorough" in sys.argv)
print(f"{driver.checked} checks, {len(driver.failures)} failed")
sys.exit(1 if driver.failures else 0)
