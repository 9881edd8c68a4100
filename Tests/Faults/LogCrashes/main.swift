import Glibc
import MillraceSimulation

// `LogCrashes IMAGES [FIRST-SEED]`: so many crash images of each fault of a simulated disk, opened and compared with what was acknowledged.
exit(crashes(Array(CommandLine.arguments.dropFirst())))
