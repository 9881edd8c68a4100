/// Orders the nodes of each layer so that few edges cross, and gives them a place across the layers.
///
/// Source: Sugiyama, Tagawa, Toda 1981: longest-path layers, an invisible node wherever an edge passes a layer, barycenter sweeps. Places are the
/// least-squares fit to the neighbours' places with a least distance, by pooling adjacent violators. A fixed number of sweeps bounds the time.
struct LayeredLayout {
  /// Nodes of each layer in order; numbers from `realNodes` on are invisible.
  private(set) var layers: [[Int]]
  /// For each edge, in the order of the dependency rows, all nodes it passes, source and target included.
  private(set) var routes: [[Int]] = []
  let realNodes: Int

  private var nodes: Int
  private var before: [[Int]]
  private var after: [[Int]]

  private static let sweeps = 12
  /// More invisible nodes are not made: then long edges go straight.
  private static let maximumInvisible = 20_000

  init(_ dependencies: TaskRows, layers layerOf: [Int32]) {
    realNodes = dependencies.count
    nodes = dependencies.count
    before = Array(repeating: [], count: nodes)
    after = Array(repeating: [], count: nodes)
    layers = Array(repeating: [], count: Int(layerOf.max() ?? -1) + 1)
    let used = Set(dependencies.targets)
    let isAlone = (0..<realNodes).map { dependencies[$0].isEmpty && !used.contains(Int32($0)) }
    // Nodes without edges end their layer, so that they part no others.
    for node in 0..<realNodes where !isAlone[node] { layers[Int(layerOf[node])].append(node) }
    for node in 0..<realNodes where isAlone[node] { layers[Int(layerOf[node])].append(node) }
    routes.reserveCapacity(dependencies.targets.count)
    for target in 0..<realNodes {
      for source in dependencies[target] { route(Int(source), target, layerOf) }
    }
    order()
  }

  private mutating func route(_ source: Int, _ target: Int, _ layerOf: [Int32]) {
    var route = [source]
    let between = layerOf[source] + 1..<layerOf[target]
    if nodes - realNodes + between.count <= Self.maximumInvisible {
      for layer in between {
        layers[Int(layer)].append(nodes)
        before.append([])
        after.append([])
        route.append(nodes)
        nodes += 1
      }
    }
    route.append(target)
    for (a, b) in zip(route, route.dropFirst()) {
      after[a].append(b)
      before[b].append(a)
    }
    routes.append(route)
  }

  private mutating func order() {
    var rank = [Double](repeating: 0, count: nodes)
    for layer in layers {
      for (place, node) in layer.enumerated() { rank[node] = Double(place) }
    }
    for sweep in 0..<Self.sweeps {
      let down = sweep.isMultiple(of: 2)
      for index in down ? Array(layers.indices) : layers.indices.reversed() {
        let wanted = layers[index].enumerated().map { place, node in
          (
            center: mean(down ? before[node] : after[node], rank) ?? (before[node].isEmpty && after[node].isEmpty ? .infinity : rank[node]),
            place: place, node: node
          )
        }
        layers[index] = wanted.sorted { ($0.center, $0.place) < ($1.center, $1.place) }.map(\.node)
        for (place, node) in layers[index].enumerated() { rank[node] = Double(place) }
      }
    }
  }

  /// A place across the layers for each node, at least `pitch(node)` from the next in its layer, from 0.
  func places(pitch: (Int) -> Double) -> [Double] {
    var places = [Double](repeating: 0, count: nodes)
    for layer in layers { fit(layer, Array(repeating: 0, count: layer.count), pitch, &places) }
    for sweep in 0..<Self.sweeps {
      let down = sweep.isMultiple(of: 2)
      for layer in down ? layers : layers.reversed() {
        // The last two sweeps listen to both sides, so that nothing hangs at one end of its edges.
        let both = sweep >= Self.sweeps - 2
        var wanted: [Double] = []
        for (index, node) in layer.enumerated() {
          let center = mean(both ? before[node] + after[node] : down ? before[node] : after[node], places)
          let isAlone = before[node].isEmpty && after[node].isEmpty
          // A node without edges stays with the one above it.
          wanted.append(center ?? (isAlone && index > 0 ? wanted[index - 1] + pitch(node) : places[node]))
        }
        fit(layer, wanted, pitch, &places)
      }
    }
    let least = places.min() ?? 0
    return places.map { $0 - least }
  }

  private func fit(_ layer: [Int], _ wanted: [Double], _ pitch: (Int) -> Double, _ places: inout [Double]) {
    // With the least distances taken out, the order is all that must be kept: isotonic regression.
    var offsets: [Double] = []
    var offset = 0.0
    for (index, node) in layer.enumerated() {
      if index > 0 { offset += (pitch(layer[index - 1]) + pitch(node)) / 2 }
      offsets.append(offset)
    }
    var blocks: [(sum: Double, count: Int)] = []
    for index in layer.indices {
      blocks.append((wanted[index] - offsets[index], 1))
      while blocks.count > 1, let last = blocks.last {
        let previous = blocks[blocks.count - 2]
        guard previous.sum / Double(previous.count) > last.sum / Double(last.count) else { break }
        blocks.removeLast()
        blocks[blocks.count - 1] = (previous.sum + last.sum, previous.count + last.count)
      }
    }
    var index = 0
    for block in blocks {
      for _ in 0..<block.count {
        places[layer[index]] = block.sum / Double(block.count) + offsets[index]
        index += 1
      }
    }
  }

  private func mean(_ neighbours: [Int], _ values: [Double]) -> Double? {
    neighbours.isEmpty ? nil : neighbours.reduce(0) { $0 + values[$1] } / Double(neighbours.count)
  }
}
