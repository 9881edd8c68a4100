/// Something durable besides messages.
package enum DurableDefinition: Sendable, Hashable {
  case exchange(DurableExchange)
  case queue(DurableQueue)
  case binding(Binding)
}

/// An exchange that outlives the process.
package struct DurableExchange: Sendable, Hashable {
  package var name: BrokerName
  package var kind: ExchangeKind
  package var options: ExchangeOptions

  package init(_ name: BrokerName, _ kind: ExchangeKind, _ options: ExchangeOptions) {
    self.name = name
    self.kind = kind
    self.options = options
  }
}

/// A queue that outlives the process.
package struct DurableQueue: Sendable, Hashable {
  package var name: BrokerName
  /// By which batches call it. Never used before, by whatever queue.
  package var number: UInt32
  package var configuration: QueueConfiguration
  /// What else the broker keeps of it, encoded by the broker: up to 64 KiB.
  package var attributes: [UInt8]

  package init(_ name: BrokerName, number: UInt32, _ configuration: QueueConfiguration, attributes: [UInt8] = []) {
    self.name = name
    self.number = number
    self.configuration = configuration
    self.attributes = attributes
  }
}

/// A declaration or a deletion.
package enum JournalChange: Sendable, Hashable {
  case declare(DurableDefinition)
  case delete(Name)

  /// What a definition is told apart by.
  package enum Name: Sendable, Hashable {
    case exchange(BrokerName)
    case queue(BrokerName)
    case binding(Binding)
  }
}

extension DurableDefinition {
  package var name: JournalChange.Name {
    switch self {
    case .exchange(let exchange): .exchange(exchange.name)
    case .queue(let queue): .queue(queue.name)
    case .binding(let binding): .binding(binding)
    }
  }
}
