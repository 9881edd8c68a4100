"""All checks of the C plugins; started by `run`."""

import sys

import debian_checks
import driver
import replay_checks
import shell_checks

if "--only-machine" in sys.argv:
    debian_checks.check_machine()
elif "--valgrind" in sys.argv:
    replay_checks.run_all()
    shell_checks.run_few()
    debian_checks.run_few()
else:
    replay_checks.run_all()
    shell_checks.run_all()
    debian_checks.run_all("--thorough" in sys.argv)
print(f"{driver.checked} checks, {len(driver.failures)} failed")
sys.exit(1 if driver.failures else 0)
