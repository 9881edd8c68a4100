import Glibc

@testable import MillraceBench

/// A thread that tells of the end of one request.
@safe final class TellingThread {
  private final class Body {
    let meter: Meter
    let ticket: Ticket
    init(_ meter: Meter, _ ticket: Ticket) { (self.meter, self.ticket) = (meter, ticket) }
  }

  struct NoThread: Error {}
  private var thread = pthread_t()

  init(_ meter: Meter, _ ticket: Ticket) throws {
    // Given back by the thread.
    let body = unsafe Unmanaged.passRetained(Body(meter, ticket))
    let code = unsafe pthread_create(
      &thread, nil,
      { context in
        let body = unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue()
        body.meter.end(body.ticket, isDone: true)
        return nil
      }, body.toOpaque())
    guard code == 0 else {
      unsafe body.release()
      throw NoThread()
    }
  }

  func join() { pthread_join(thread, nil) }
}
