import Glibc
import LogLoad
import MillraceLog

// A log under load, to be killed. See docs/faults.md.
exit(victim(Array(CommandLine.arguments.dropFirst())))
