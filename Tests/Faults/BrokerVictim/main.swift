import Glibc

// A broker with durable queues under load, to be killed. See `BrokerKillTests`.
exit(victim(Array(CommandLine.arguments.dropFirst())))
