import Glibc

// A journal of durable queues under load, to be killed. See `JournalKillTests`.
exit(victim(Array(CommandLine.arguments.dropFirst())))
