#if Postgres
  internal import Glibc
  public import MillraceLog

  /// Where the events are, and how a store treats the server. It never shows its password.
  public struct PostgresConfiguration: Sendable, CustomStringConvertible, CustomReflectable {
    let target: ServerTarget
    /// The schema that holds the tables: 1 to 40 of `a-z`, `0-9` and `_`, a letter first. Each is a store of its own.
    public var schema = "millrace"
    /// Brings the schema to the version of this program when the store is opened. Without it, another version is refused.
    public var migrates = true
    /// Events of one partition, in a schema that is made now.
    public var partitionEvents: UInt64 = 10_000_000
    /// How long connecting and preparing may take.
    public var connectTimeout = Duration.seconds(10)
    /// How long the server may work on one statement, locks included.
    public var statementTimeout = Duration.seconds(10)
    /// How long a request waits while there is no connection. Connecting is tried again meanwhile, and after it.
    public var patience = Duration.seconds(30)
    /// The longest pause between two tries to connect: the first is 50 ms, each is twice the one before, and a random half of it is left out.
    public var longestPause = Duration.seconds(5)
    /// Appends that are accepted and not completed: more are `busy`.
    public var queuedAppends = 16_384
    /// Their payload bytes.
    public var queuedBytes = 64 << 20
    /// Other requests that are accepted and not completed: more are `busy`.
    public var queuedReads = 4_096
    /// Waits at once: more are `busy`.
    public var waits = 65_536
    /// Appends in one transaction, at most.
    public var appendsInGroup = 512
    /// How often what has fallen out of streams with limits is deleted; nil: other stores of the schema do it.
    public var sweepInterval: Duration? = .seconds(60)
    /// Refuses a server that runs with `fsync` off: what it acknowledges it may lose.
    public var requiresSync = true
    /// Nanoseconds since 1970, UTC: the time of events, and what ages of streams count from.
    public var wallClock: @Sendable () -> Int64 = PostgresConfiguration.systemTime

    /// - Parameter connection: `postgresql://user:password@host:port/database?sslmode=verify-full&sslrootcert=...` or `host=... dbname=...`, with all
    ///   parameters of libpq; what is missing comes from its environment variables and password file.
    ///
    /// Throws `EventStoreError.invalid` if it cannot be read.
    public init(_ connection: String) throws(EventStoreError) { target = try ServerTarget(connection) }

    /// Server and database.
    public var description: String { "\(target.place), schema \(schema)" }
    public var customMirror: Mirror { Mirror(self, children: ["description": description]) }

    private static let systemTime: @Sendable () -> Int64 = {
      var time = timespec()
      unsafe _ = clock_gettime(CLOCK_REALTIME, &time)
      return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    var session: Session {
      Session(
        target: target, schema: schema, statementTimeout: statementTimeout, connectTimeout: connectTimeout, requiresSync: requiresSync)
    }

    func check() throws(EventStoreError) {
      let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
      let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
      let utf8 = schema.utf8
      guard 1...40 ~= utf8.count, let first = utf8.first, letters.contains(first),
        utf8.allSatisfy({ letters.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "_") })
      else { throw .invalid("the schema \(schema) is no name for one: 1 to 40 of a-z, 0-9 and _, a letter first") }
      for (name, value) in [("queuedAppends", queuedAppends), ("queuedBytes", queuedBytes), ("queuedReads", queuedReads), ("waits", waits)]
      where value < 1 {
        throw .invalid("\(name) is \(value), but must be 1 at least")
      }
      guard 1...4_096 ~= appendsInGroup else { throw .invalid("appendsInGroup is \(appendsInGroup), but must be 1 to 4096") }
      guard 1_000...1_000_000_000_000 ~= partitionEvents else {
        throw .invalid("partitionEvents is \(partitionEvents), but must be 1,000 to 10^12")
      }
    }
  }
#endif
