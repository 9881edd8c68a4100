#if AMQP
  import CRabbitMQ
  import Glibc

  /// A value as AMQP has it, with its type.
  enum WireValue {
    case void
    case boolean(Bool)
    case int8(Int8)
    case uint8(UInt8)
    case int16(Int16)
    case uint16(UInt16)
    case int32(Int32)
    case uint32(UInt32)
    case int64(Int64)
    case float(Float)
    case double(Double)
    case decimal(UInt8, UInt32)
    case timestamp(UInt64)
    case text(String)
    case bytes([UInt8])
    /// A table with one field.
    case nested
  }

  /// One channel of a connection, as thin as can be.
  @safe final class RabbitMQClient {
    let connection: amqp_connection_state_t
    private var kept = unsafe [UnsafeMutableRawPointer]()
    private var published: UInt64 = 0
    /// Messages that `send` has published.
    var sent = 0
    private var unconfirmed: Set<UInt64> = []
    /// Bodies of messages that came back.
    private(set) var returned: Set<Int> = []

    init(port: Int) throws {
      unsafe connection = amqp_new_connection()
      guard let socket = unsafe amqp_tcp_socket_new(connection), unsafe amqp_socket_open(socket, "127.0.0.1", Int32(port)) == 0 else {
        throw Failed("RabbitMQ does not answer on port \(port)")
      }
      let reply = unsafe millrace_amqp_login(connection, "/", "guest", "guest")
      guard unsafe reply.reply_type == AMQP_RESPONSE_NORMAL else { throw Failed("RabbitMQ refuses the login") }
      unsafe _ = amqp_channel_open(connection, 1)
      unsafe _ = amqp_confirm_select(connection, 1)
      try check("open a channel")
    }

    deinit {
      unsafe amqp_destroy_connection(connection)
      forget()
    }

    func declare(exchange: String, _ kind: String, autoDelete: Bool, alternate: String?) throws {
      let arguments = unsafe table(alternate.map { [("alternate-exchange", .text($0))] } ?? [])
      unsafe _ = amqp_exchange_declare(connection, 1, bytes(exchange), bytes(kind), 0, 0, autoDelete ? 1 : 0, 0, arguments)
      try check("declare exchange \(exchange)")
    }

    func delete(exchange: String) throws {
      unsafe _ = amqp_exchange_delete(connection, 1, bytes(exchange), 0)
      try check("delete exchange \(exchange)")
    }

    func exists(exchange: String) -> Bool {
      // A channel of its own, since a refusal closes it.
      unsafe _ = amqp_channel_open(connection, 2)
      unsafe _ = amqp_exchange_declare(connection, 2, bytes(exchange), bytes(""), 1, 0, 0, 0, table([]))
      let isThere = unsafe amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL
      if isThere {
        unsafe _ = amqp_channel_close(connection, 2, 200)
      } else {
        var ok = amqp_channel_close_ok_t()
        unsafe _ = amqp_send_method(connection, 2, 0x0014_0029, &ok)
      }
      return isThere
    }

    func declare(queue: String) throws {
      unsafe _ = amqp_queue_declare(connection, 1, bytes(queue), 0, 0, 0, 0, table([]))
      try check("declare queue \(queue)")
    }

    func delete(queue: String) throws {
      unsafe _ = amqp_queue_delete(connection, 1, bytes(queue), 0, 0)
      try check("delete queue \(queue)")
    }

    /// Without waiting for the answer: a refusal shows at the next call.
    func bind(queue: String, to exchange: String, _ key: String, _ arguments: [(String, WireValue)]) throws {
      var method = unsafe amqp_queue_bind_t(
        ticket: 0, queue: bytes(queue), exchange: bytes(exchange), routing_key: bytes(key), nowait: 1, arguments: table(arguments))
      guard unsafe amqp_send_method(connection, 1, 0x0032_0014, &method) == 0 else { throw Failed("cannot bind \(queue)") }
      forget()
    }

    func bind(exchange: String, to source: String, _ key: String, _ arguments: [(String, WireValue)]) throws {
      var method = unsafe amqp_exchange_bind_t(
        ticket: 0, destination: bytes(exchange), source: bytes(source), routing_key: bytes(key), nowait: 1, arguments: table(arguments))
      guard unsafe amqp_send_method(connection, 1, 0x0028_001E, &method) == 0 else { throw Failed("cannot bind \(exchange)") }
      forget()
    }

    func unbind(queue: String, from exchange: String, _ key: String, _ arguments: [(String, WireValue)]) throws {
      unsafe _ = amqp_queue_unbind(connection, 1, bytes(queue), bytes(exchange), bytes(key), table(arguments))
      try check("unbind \(queue) from \(exchange)")
    }

    func unbind(exchange: String, from source: String, _ key: String, _ arguments: [(String, WireValue)]) throws {
      unsafe _ = amqp_exchange_unbind(connection, 1, bytes(exchange), bytes(source), bytes(key), table(arguments))
      try check("unbind \(exchange) from \(source)")
    }

    /// A mandatory message whose body is a number.
    func publish(_ number: Int, to exchange: String, _ key: String, _ headers: [(String, WireValue)]) throws {
      var properties = unsafe amqp_basic_properties_t()
      unsafe properties._flags = 1 << 13  // headers
      unsafe properties.headers = table(headers)
      let code = unsafe amqp_basic_publish(connection, 1, bytes(exchange), bytes(key), 1, 0, &properties, bytes("\(number)"))
      guard code == 0 else { throw Failed("cannot publish to \(exchange)") }
      forget()
      published += 1
      unconfirmed.insert(published)
    }

    /// Waits until each message so far is confirmed.
    func confirm() throws {
      while !unconfirmed.isEmpty {
        unsafe amqp_maybe_release_buffers(connection)
        var frame = unsafe amqp_frame_t()
        guard unsafe amqp_simple_wait_frame(connection, &frame) == 0 else { throw Failed("the connection was lost") }
        guard unsafe frame.frame_type == 1 else { continue }
        switch unsafe frame.payload.method.id {
        case 0x003C_0050:  // basic.ack
          let ack = unsafe frame.payload.method.decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
          if ack.multiple != 0 { unconfirmed = unconfirmed.filter { $0 > ack.delivery_tag } } else { unconfirmed.remove(ack.delivery_tag) }
        case 0x003C_0032:  // basic.return
          var message = unsafe amqp_message_t()
          let reply = unsafe amqp_read_message(connection, 1, &message, 0)
          guard unsafe reply.reply_type == AMQP_RESPONSE_NORMAL else { throw Failed("a returned message cannot be read") }
          returned.insert(unsafe number(message.body))
          unsafe amqp_destroy_message(&message)
        default: throw Failed("an unexpected method: \(String(unsafe frame.payload.method.id, radix: 16))")
        }
      }
    }

    /// Takes all messages out of the queues: their bodies by queue, in the order in which they lay there.
    func drain(_ queues: [String]) throws -> [String: [Int]] {
      var found: [String: [Int]] = [:]
      for queue in queues {
        let state = unsafe amqp_queue_declare(connection, 1, bytes(queue), 1, 0, 0, 0, table([]))
        try check("look at queue \(queue)")
        var left = unsafe state!.pointee.message_count
        unsafe _ = amqp_basic_consume(connection, 1, bytes(queue), bytes(queue), 0, 1, 0, table([]))
        try check("consume from \(queue)")
        while left > 0 {
          unsafe amqp_maybe_release_buffers(connection)
          var envelope = unsafe amqp_envelope_t()
          let reply = unsafe amqp_consume_message(connection, &envelope, nil, 0)
          guard unsafe reply.reply_type == AMQP_RESPONSE_NORMAL else { throw Failed("a message of \(queue) cannot be read") }
          found[queue, default: []].append(unsafe number(envelope.message.body))
          unsafe amqp_destroy_envelope(&envelope)
          left -= 1
        }
        unsafe _ = amqp_basic_cancel(connection, 1, bytes(queue))
        try check("cancel \(queue)")
      }
      return found
    }

    func check(_ what: String) throws {
      let reply = unsafe amqp_get_rpc_reply(connection)
      forget()
      guard unsafe reply.reply_type == AMQP_RESPONSE_NORMAL else {
        var why = ""
        if unsafe reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION, unsafe reply.reply.id == 0x0014_0028 {
          let text = unsafe reply.reply.decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee.reply_text
          why = unsafe String(decoding: UnsafeRawBufferPointer(start: text.bytes, count: text.len), as: UTF8.self)
        }
        throw Failed("RabbitMQ refuses to \(what): \(why)")
      }
    }

    private func number(_ body: amqp_bytes_t) -> Int {
      unsafe Int(String(decoding: UnsafeRawBufferPointer(start: body.bytes, count: body.len), as: UTF8.self))!
    }

    // MARK: What calls are given, until they return

    func forget() {
      while let memory = unsafe kept.popLast() { unsafe memory.deallocate() }
    }

    func bytes(_ text: String) -> amqp_bytes_t { unsafe bytes(Array(text.utf8)) }

    private func bytes(_ content: [UInt8]) -> amqp_bytes_t {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: max(content.count, 1), alignment: 1)
      for (at, byte) in content.enumerated() { unsafe memory.storeBytes(of: byte, toByteOffset: at, as: UInt8.self) }
      unsafe kept.append(memory)
      return unsafe amqp_bytes_t(len: content.count, bytes: memory)
    }

    func table(_ fields: [(String, WireValue)]) -> amqp_table_t {
      if fields.isEmpty { return unsafe amqp_table_t() }
      let entries = UnsafeMutablePointer<amqp_table_entry_t>.allocate(capacity: fields.count)
      unsafe kept.append(UnsafeMutableRawPointer(entries))
      for (index, field) in fields.enumerated() {
        unsafe (entries + index).initialize(to: amqp_table_entry_t(key: bytes(field.0), value: value(field.1)))
      }
      return unsafe amqp_table_t(num_entries: Int32(fields.count), entries: entries)
    }

    private func value(_ value: WireValue) -> amqp_field_value_t {
      var field = unsafe amqp_field_value_t()
      func kind(_ letter: Character) { unsafe field.kind = letter.asciiValue! }
      switch value {
      case .void: kind("V")
      case .boolean(let value):
        kind("t")
        unsafe field.value.boolean = value ? 1 : 0
      case .int8(let value):
        kind("b")
        unsafe field.value.i8 = value
      case .uint8(let value):
        kind("B")
        unsafe field.value.u8 = value
      case .int16(let value):
        kind("s")
        unsafe field.value.i16 = value
      case .uint16(let value):
        kind("u")
        unsafe field.value.u16 = value
      case .int32(let value):
        kind("I")
        unsafe field.value.i32 = value
      case .uint32(let value):
        kind("i")
        unsafe field.value.u32 = value
      case .int64(let value):
        kind("l")
        unsafe field.value.i64 = value
      case .float(let value):
        kind("f")
        unsafe field.value.f32 = value
      case .double(let value):
        kind("d")
        unsafe field.value.f64 = value
      case .decimal(let scale, let value):
        kind("D")
        unsafe field.value.decimal = amqp_decimal_t(decimals: scale, value: value)
      case .timestamp(let value):
        kind("T")
        unsafe field.value.u64 = value
      case .text(let value):
        kind("S")
        unsafe field.value.bytes = bytes(value)
      case .bytes(let value):
        kind("x")
        unsafe field.value.bytes = bytes(value)
      case .nested:
        kind("F")
        unsafe field.value.table = table([("inner", .int32(1))])
      }
      return unsafe field
    }
  }
#endif
