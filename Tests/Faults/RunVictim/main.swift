import Glibc

// Durable runs, to be watched. See docs/faults.md.
exit(victim(Array(CommandLine.arguments.dropFirst())))
