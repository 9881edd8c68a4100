import Glibc

// Durable runs, to be watched. See docs/faults.md.
let words = Array(CommandLine.arguments.dropFirst())
exit(words.first == "live" ? live(Array(words.dropFirst())) : victim(words))
