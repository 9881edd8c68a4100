import Glibc
import MillraceBroker

/// `BrokerBenchmark WORK[,WORK...] SECONDS`: one line of JSON for each work. `BrokerBenchmark routes cold|warm COUNT` only routes, `messages COUNT` only publishes and receives, on one
/// thread, for those who count what that takes, as does `steady WAY COUNT` on all ways. `conservation COUNT` sends messages on all ways that there are, and sees that each ends once; `footprint COUNT TIME-TO-LIVE BATCH` (in seconds; 0: none) says what a queued message takes, `overload WAY SECONDS` publishes three times what is consumed.
@main struct BrokerBenchmark {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    do {
      if arguments.count == 3, arguments[0] == "routes", let kind = Topics.Kind(rawValue: arguments[1]), let count = Int(arguments[2]),
        count > 0
      {
        var topics = try Topics(kind)
        return print(try topics.route(count))
      }
      if arguments.count == 2, arguments[0] == "messages", let count = Int(arguments[1]), count > 0 {
        return print(try Messages(receivers: 1, bytes: 64).alternate(count))
      }
      if arguments.count == 3, arguments[0] == "steady", let way = Steady.Way(rawValue: arguments[1]), let count = Int(arguments[2]),
        count > 0
      {
        return print(try Steady(way).run(count))
      }
      if arguments.count == 4, arguments[0] == "footprint", let count = Int(arguments[1]), 1_000...100_000_000 ~= count,
        let seconds = UInt64(arguments[2]), seconds <= 1 << 32, let batch = Int(arguments[3]), 1...64 ~= batch
      {
        return print(try Footprint(count: count, timeToLive: seconds == 0 ? nil : seconds * 1_000_000_000, batch: batch).measure())
      }
      if arguments.count == 3, arguments[0] == "overload", let overflow = Overload.ways[arguments[1]],
        let seconds = Double(arguments[2]), 0...3_600 ~= seconds
      {
        return print(try Overload(overflow).run(seconds: seconds))
      }
      if arguments.count == 2, arguments[0] == "conservation", let count = Int(arguments[1]), 1_000...100_000_000 ~= count {
        return print(try Conservation(count).run())
      }
      guard arguments.count == 2, let seconds = Double(arguments[1]), seconds > 0 else { usage() }
      for work in arguments[0].split(separator: ",") {
        if work.hasPrefix("bind-"), let count = Int(work.dropFirst("bind-".count)), 1...1_000_000 ~= count {
          print(try Binds(count).measure())
          continue
        }
        if let line = try messages(String(work), seconds) {
          print(line)
          continue
        }
        guard work.hasPrefix("topic-"), let kind = Topics.Kind(rawValue: String(work.dropFirst("topic-".count))) else { usage() }
        var topics = try Topics(kind)
        print(try topics.measure(seconds: seconds))
      }
    } catch {
      fail("\(error)", 1)
    }
  }

  /// nil: it is no work with messages.
  private static func messages(_ work: String, _ seconds: Double) throws -> String? {
    switch work {
    case "msg-1-1": try Messages(receivers: 1, bytes: 64).measure(work, seconds: seconds)
    case "msg-1-1-1k": try Messages(receivers: 1, bytes: 1_024).measure(work, seconds: seconds)
    case "msg-1-4": try Messages(receivers: 4, bytes: 64).measure(work, seconds: seconds)
    case "msg-64k": try Messages(receivers: 4, bytes: 65_536, isByReference: true).measure(work, seconds: seconds)
    case "latency-spin": try Latency(isSpinning: true).measure(work, seconds: seconds)
    case "durable-1", "durable-64", "durable-1000":
      try Durable(inFlight: Int(work.dropFirst("durable-".count)) ?? 1).measure(work, seconds: seconds)
    case "latency-park": try Latency(isSpinning: false).measure(work, seconds: seconds)
    default: nil
    }
  }

  private static func usage() -> Never {
    fail(
      "usage: BrokerBenchmark msg-1-1,msg-1-1-1k,msg-1-4,msg-64k,latency-spin,latency-park,durable-1000,topic-cold,topic-warm,bind-N SECONDS | routes cold|warm COUNT | messages COUNT | steady single|batch|fan|jobs|refused COUNT | footprint COUNT TIME-TO-LIVE BATCH | overload reject-publish|drop-head|dead-letter SECONDS | conservation COUNT",
      64)
  }

  static func fail(_ text: String, _ code: Int32) -> Never {
    let line = "BrokerBenchmark: \(text)\n"
    _ = unsafe write(2, line, line.utf8.count)
    exit(code)
  }
}
