internal import CMillrace
internal import Glibc
package import MillraceBroker
internal import MillraceCore
internal import MillraceLog

/// The durable queues of a data directory, for programs that need no engine.
package enum QueueDirectory {
  /// Why there is no broker.
  package enum Failure: Error {
    /// Nobody has made queues there.
    case none
    /// Another process has them; who, in words.
    case inUse(String)
    case refused(BrokerError)
  }

  /// Where in a data directory they are.
  package static func path(_ data: String) -> String { data + "/queues" }

  /// A broker over the queues of a directory that an engine may have kept, or will: without threads, so that what comes by time moves by `advance`. `makes`: it makes what is not there. `close` ends it.
  package static func open(_ data: String, makes: Bool) throws(Failure) -> Broker {
    if makes {
      do throws(EngineError) { try DurableRuns.make(data) } catch { throw .refused(.journal("\(error)")) }
    } else if unsafe access(path(data), F_OK) != 0 {
      throw .none
    }
    let journal: LogQueueJournal
    do { journal = try LogQueueJournal(DirectoryStorage(path(data))) } catch JournalError.inUse(let text) {
      throw .inUse(text)
    } catch { throw .refused(.journal("\(path(data)): \(error)")) }
    var configuration = BrokerConfiguration()
    configuration.duplicateWindow = 0
    do throws(BrokerError) {
      return try Broker(configuration, host: BrokerHost(wall: { millrace_wall() }), journal: journal)
    } catch { throw .refused(error) }
  }
}
