#if AMQP
  import CRabbitMQ

  /// A message as a consumer sees it, on either side.
  struct Seen: Equatable {
    /// Where it died, in one queue for one reason.
    struct Death: Equatable {
      var queue: String
      var reason: String
      var count: Int
      var exchange: String
      var keys: [String]
      /// Milliseconds that it was published with.
      var expiration: Int?
    }

    var body: String
    var key: String
    var priority = 0
    var isRedelivered = false
    /// Milliseconds that it still has to live by itself.
    var expiration: Int?
    /// Newest first.
    var deaths: [Death] = []
    /// Queue, reason and exchange of the first.
    var first: [String] = []
  }

  /// What a publisher is told.
  enum Told: Equatable {
    case taken, refused
    /// Confirmed, and handed back before that.
    case returned
  }

  extension RabbitMQClient {
    typealias Field = (String, WireValue)

    // MARK: Queues

    func declare(queue: String, _ arguments: [Field]) throws {
      unsafe _ = amqp_queue_declare(connection, 1, bytes(queue), 0, 0, 0, 0, table(arguments))
      try check("declare queue \(queue)")
    }

    /// Messages that are ready, and consumers.
    func counts(_ queue: String) throws -> (ready: Int, consumers: Int) {
      let state = unsafe amqp_queue_declare(connection, 1, bytes(queue), 1, 0, 0, 0, table([]))
      try check("look at queue \(queue)")
      return unsafe (Int(state!.pointee.message_count), Int(state!.pointee.consumer_count))
    }

    func purge(_ queue: String) throws -> Int {
      let purged = unsafe amqp_queue_purge(connection, 1, bytes(queue))
      try check("purge \(queue)")
      return unsafe Int(purged!.pointee.message_count)
    }

    /// Messages that were in it.
    func delete(_ queue: String, ifUnused: Bool = false, ifEmpty: Bool = false) throws -> Int {
      let deleted = unsafe amqp_queue_delete(connection, 1, bytes(queue), ifUnused ? 1 : 0, ifEmpty ? 1 : 0)
      try check("delete \(queue)")
      return unsafe Int(deleted!.pointee.message_count)
    }

    // MARK: Messages

    /// Without waiting for the confirm.
    func send(_ body: String, to exchange: String, _ key: String, priority: Int? = nil, expiration: Int? = nil) throws {
      var properties = unsafe amqp_basic_properties_t()
      if let priority {
        unsafe properties._flags |= 1 << 11
        unsafe properties.priority = UInt8(priority)
      }
      if let expiration {
        unsafe properties._flags |= 1 << 8
        unsafe properties.expiration = bytes("\(expiration)")
      }
      let code = unsafe amqp_basic_publish(connection, 1, bytes(exchange), bytes(key), 1, 0, &properties, bytes(body))
      guard code == 0 else { throw Failed("cannot publish to \(exchange)") }
      forget()
      sent += 1
    }

    /// Waits until the last `count` messages are confirmed or refused, each once.
    func confirms(_ count: Int) throws -> (taken: Set<Int>, refused: Set<Int>) {
      var told: (taken: Set<Int>, refused: Set<Int>) = ([], [])
      var open = Set(sent - count + 1...sent)
      while !open.isEmpty {
        guard case .confirm(let number, let isTaken, let isMultiple) = try event() else { continue }
        let those = isMultiple ? open.filter { $0 <= number } : open.intersection([number])
        if those.isEmpty { throw Failed("message \(number) is told of again") }
        open.subtract(those)
        if isTaken { told.taken.formUnion(those) } else { told.refused.formUnion(those) }
      }
      return told
    }

    /// Publishes a mandatory message, and waits for what is told of it.
    func publish(_ body: String, to exchange: String, _ key: String, priority: Int? = nil, expiration: Int? = nil) throws -> Told {
      try send(body, to: exchange, key, priority: priority, expiration: expiration)
      var isReturned = false
      while true {
        switch try event() {
        case .confirm(_, let isTaken, _): return isReturned ? .returned : isTaken ? .taken : .refused
        case .returned: isReturned = true
        case .delivery: throw Failed("a publisher gets a delivery")
        }
      }
    }

    func get(_ queue: String) throws -> (tag: UInt64, seen: Seen)? {
      unsafe amqp_maybe_release_buffers(connection)
      let reply = unsafe amqp_basic_get(connection, 1, bytes(queue), 0)
      forget()
      guard unsafe reply.reply_type == AMQP_RESPONSE_NORMAL else { throw Failed("cannot get from \(queue)") }
      guard unsafe reply.reply.id == 0x003C_0047 else { return nil }
      let got = unsafe reply.reply.decoded.assumingMemoryBound(to: amqp_basic_get_ok_t.self).pointee
      return try unsafe (got.delivery_tag, read(text(got.routing_key), isRedelivered: got.redelivered != 0))
    }

    func acknowledge(_ tag: UInt64, isMultiple: Bool = false) throws {
      guard unsafe amqp_basic_ack(connection, 1, tag, isMultiple ? 1 : 0) == 0 else { throw Failed("cannot acknowledge") }
    }

    func refuse(_ tag: UInt64, isMultiple: Bool = false, requeue: Bool) throws {
      guard unsafe amqp_basic_nack(connection, 1, tag, isMultiple ? 1 : 0, requeue ? 1 : 0) == 0 else { throw Failed("cannot refuse") }
    }

    func consume(_ queue: String, prefetch: Int, isExclusive: Bool = false) throws {
      unsafe _ = amqp_basic_qos(connection, 1, 0, UInt16(prefetch), 0)
      try check("set the prefetch")
      unsafe _ = amqp_basic_consume(connection, 1, bytes(queue), bytes("c"), 0, 0, isExclusive ? 1 : 0, table([]))
      try check("consume from \(queue)")
    }

    /// What has come so far. Nothing is waited for.
    func deliveries() throws -> [(tag: UInt64, seen: Seen)] {
      var all: [(tag: UInt64, seen: Seen)] = []
      while unsafe amqp_frames_enqueued(connection) != 0 || amqp_data_in_buffer(connection) != 0 {
        if case .delivery(let tag, let seen) = try event() { all.append((tag, seen)) }
      }
      return all
    }

    // MARK: What the server says by itself

    enum Event {
      case confirm(number: Int, isTaken: Bool, isMultiple: Bool)
      case returned(String)
      case delivery(tag: UInt64, Seen)
    }

    func event() throws -> Event {
      while true {
        unsafe amqp_maybe_release_buffers(connection)
        var frame = unsafe amqp_frame_t()
        guard unsafe amqp_simple_wait_frame(connection, &frame) == 0 else { throw Failed("the connection was lost") }
        guard unsafe frame.frame_type == 1 else { continue }
        let decoded = unsafe frame.payload.method.decoded
        switch unsafe frame.payload.method.id {
        case 0x003C_0050:
          let ack = unsafe decoded!.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
          return .confirm(number: Int(ack.delivery_tag), isTaken: true, isMultiple: ack.multiple != 0)
        case 0x003C_0078:
          let nack = unsafe decoded!.assumingMemoryBound(to: amqp_basic_nack_t.self).pointee
          return .confirm(number: Int(nack.delivery_tag), isTaken: false, isMultiple: nack.multiple != 0)
        case 0x003C_0032:
          return .returned(try read("", isRedelivered: false).body)
        case 0x003C_003C:
          let delivery = unsafe decoded!.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee
          let key = unsafe text(delivery.routing_key)
          return try unsafe .delivery(tag: delivery.delivery_tag, read(key, isRedelivered: delivery.redelivered != 0))
        default: throw Failed("an unexpected method: \(String(unsafe frame.payload.method.id, radix: 16))")
        }
      }
    }

    /// The content that follows a method.
    private func read(_ key: String, isRedelivered: Bool) throws -> Seen {
      var message = unsafe amqp_message_t()
      guard unsafe amqp_read_message(connection, 1, &message, 0).reply_type == AMQP_RESPONSE_NORMAL else {
        throw Failed("a message cannot be read")
      }
      defer { unsafe amqp_destroy_message(&message) }
      var seen = Seen(body: unsafe text(message.body), key: key, isRedelivered: isRedelivered)
      let properties = unsafe message.properties
      if unsafe properties._flags & 1 << 11 != 0 { seen.priority = unsafe Int(properties.priority) }
      if unsafe properties._flags & 1 << 8 != 0 { seen.expiration = unsafe Int(text(properties.expiration)) }
      if unsafe properties._flags & 1 << 13 == 0 { return seen }
      let headers = unsafe fields(properties.headers)
      if let array = unsafe headers["x-death"]?.value.array {
        for index in 0..<Int(unsafe array.num_entries) { seen.deaths.append(unsafe death(fields(array.entries[index].value.table))) }
      }
      for name in ["queue", "reason", "exchange"] {
        if let value = unsafe headers["x-first-death-\(name)"] { seen.first.append(unsafe text(value.value.bytes)) }
      }
      return seen
    }

    private func death(_ fields: [String: amqp_field_value_t]) -> Seen.Death {
      func word(_ name: String) -> String { unsafe fields[name].map { unsafe text($0.value.bytes) } ?? "" }
      var death = Seen.Death(
        queue: word("queue"), reason: word("reason"), count: unsafe fields["count"].map { unsafe Int($0.value.i64) } ?? 0,
        exchange: word("exchange"), keys: [], expiration: Int(word("original-expiration")))
      if let keys = unsafe fields["routing-keys"]?.value.array {
        for index in 0..<Int(unsafe keys.num_entries) { death.keys.append(unsafe text(keys.entries[index].value.bytes)) }
      }
      return death
    }

    private func fields(_ table: amqp_table_t) -> [String: amqp_field_value_t] {
      var fields = unsafe [String: amqp_field_value_t]()
      for index in 0..<Int(unsafe table.num_entries) { unsafe fields[text(table.entries[index].key)] = table.entries[index].value }
      return unsafe fields
    }

    private func text(_ bytes: amqp_bytes_t) -> String {
      unsafe String(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
    }
  }
#endif
