import Glibc
import MillraceBroker

/// `BrokerBenchmark WORK[,WORK...] SECONDS`: one line of JSON for each work. `BrokerBenchmark routes cold|warm COUNT` only routes, for those who count what that takes.
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
      guard arguments.count == 2, let seconds = Double(arguments[1]), seconds > 0 else { usage() }
      for work in arguments[0].split(separator: ",") {
        if work.hasPrefix("bind-"), let count = Int(work.dropFirst("bind-".count)), 1...1_000_000 ~= count {
          print(try Binds(count).measure())
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

  private static func usage() -> Never { fail("usage: BrokerBenchmark topic-cold,topic-warm,bind-N SECONDS | routes cold|warm COUNT", 64) }

  static func fail(_ text: String, _ code: Int32) -> Never {
    let line = "BrokerBenchmark: \(text)\n"
    _ = unsafe write(2, line, line.utf8.count)
    exit(code)
  }
}
