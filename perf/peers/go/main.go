// Go: a goroutine for each job, counters for the shapes, time.AfterFunc for timers. The command line of all peers.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

//go:noinline
func empty() {}

var sink uint64

//go:noinline
func spin(rounds int) {
	state := uint64(88172645463325252)
	for ; rounds > 0; rounds-- {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	if state == 0 {
		atomic.StoreUint64(&sink, state)
	}
}

func calibrate() float64 {
	best := time.Duration(math.MaxInt64)
	for i := 0; i < 20; i++ {
		begin := time.Now()
		spin(1 << 14)
		if passed := time.Since(begin); passed < best {
			best = passed
		}
	}
	return float64(1<<14) / float64(best.Nanoseconds())
}

func each(count int, work func()) float64 {
	begin := time.Now()
	work()
	return float64(time.Since(begin).Nanoseconds()) / float64(count)
}

// A batch is one goroutine, which starts those of its jobs.
func loose(count, rounds int) {
	var group sync.WaitGroup
	job := func() {
		if rounds > 0 {
			spin(rounds)
		} else {
			empty()
		}
		group.Done()
	}
	for left := count; left > 0; left -= 64 {
		group.Add(64)
		go func() {
			for i := 0; i < 64; i++ {
				go job()
			}
		}()
	}
	group.Wait()
}

func efficiency(workers, count, rounds int) float64 {
	count = (count + 63) / 64 * 64
	serial := each(count, func() {
		for i := 0; i < count; i++ {
			spin(rounds)
		}
	})
	return serial / (each(count, func() { loose(count, rounds) }) * float64(workers))
}

func half(workers, count int) float64 {
	rate, low, high := calibrate(), 2.0, 16.0
	for i := 0; i < 10; i++ {
		middle := (low + high) / 2
		body := math.Exp2(middle)
		jobs := int(math.Max(1000, math.Min(float64(count), 2e7/body)))
		if efficiency(workers, jobs, int(body*rate)) >= 0.5 {
			high = middle
		} else {
			low = middle
		}
	}
	return math.Exp2(high)
}

type graph struct {
	start, next, before []uint32
	left                []uint32
	ended               chan bool
}

func (g *graph) visit(node uint32) {
	empty()
	for _, next := range g.next[g.start[node]:g.start[node+1]] {
		if g.before[next] == 1 || atomic.AddUint32(&g.left[next], ^uint32(0)) == 0 {
			go g.visit(next)
		}
	}
	if int(node) == len(g.before)-1 {
		g.ended <- true
	}
}

func (g *graph) run() {
	copy(g.left, g.before)
	go g.visit(0)
	<-g.ended
}

const wave = 101

func build(shape string, count int) *graph {
	side := int(math.Sqrt(float64(count)))
	switch shape {
	case "fan":
		count = int(math.Max(float64(count/wave), 1))*wave + 1
	case "grid":
		count = side * side
	}
	predecessors := func(i int, visit func(int)) {
		switch shape {
		case "chain":
			if i > 0 {
				visit(i - 1)
			}
		case "fan":
			if i%wave != 0 {
				visit(i - i%wave)
			} else if i > 0 {
				for k := 1; k < wave; k++ {
					visit(i - k)
				}
			}
		case "grid":
			if i%side > 0 {
				visit(i - 1)
			}
			if i >= side {
				visit(i - side)
			}
		}
	}
	g := &graph{start: make([]uint32, count+2), before: make([]uint32, count), left: make([]uint32, count), ended: make(chan bool, 1)}
	for i := 0; i < count; i++ {
		predecessors(i, func(p int) { g.start[p+2]++; g.before[i]++ })
	}
	for i := 2; i < len(g.start); i++ {
		g.start[i] += g.start[i-1]
	}
	g.next = make([]uint32, g.start[count+1])
	for i := 0; i < count; i++ {
		predecessors(i, func(p int) { g.next[g.start[p+1]] = uint32(i); g.start[p+1]++ })
	}
	g.start = g.start[:count+1]
	return g
}

func grow(depth int, group *sync.WaitGroup) {
	empty()
	if depth > 0 {
		group.Add(2)
		go grow(depth-1, group)
		go grow(depth-1, group)
	}
	group.Done()
}

func percentiles(samples []int64, at ...float64) []float64 {
	sort.Slice(samples, func(a, b int) bool { return samples[a] < samples[b] })
	if samples[0] < 0 {
		fmt.Fprintln(os.Stderr, "go: a start was early")
		os.Exit(1)
	}
	var figures []float64
	for _, p := range at {
		figures = append(figures, float64(samples[int(math.Ceil(p*float64(len(samples))))-1]))
	}
	return figures
}

func openLoop(count int, interval time.Duration) []float64 {
	samples := make([]int64, count)
	var group sync.WaitGroup
	group.Add(count)
	begin := time.Now().Add(time.Millisecond)
	for i := range samples {
		sample, due := &samples[i], begin.Add(time.Duration(i)*interval)
		for time.Now().Before(due) {
		}
		go func() {
			*sample = time.Since(due).Nanoseconds()
			empty()
			group.Done()
		}()
	}
	group.Wait()
	return percentiles(samples, 0.5, 0.99)
}

type numbers uint64

func (n *numbers) next() uint64 {
	state := uint64(*n)
	state ^= state << 13
	state ^= state >> 7
	state ^= state << 17
	*n = numbers(state)
	return state
}

func timersCancel(count int) float64 {
	random, timers := numbers(88172645463325252), make([]*time.Timer, count)
	return each(count, func() {
		for i := range timers {
			timers[i] = time.AfterFunc(time.Duration(10000+random.next()%60000)*time.Millisecond, empty)
		}
		for _, timer := range timers {
			timer.Stop()
		}
	})
}

func timersFire(count int) []float64 {
	random, samples := numbers(88172645463325252), make([]int64, count)
	var group sync.WaitGroup
	group.Add(count)
	begin := time.Now().Add(time.Duration(count) * 3000)
	for i := range samples {
		sample, due := &samples[i], begin.Add(time.Duration(random.next()%(uint64(count)*1000)))
		time.AfterFunc(time.Until(due), func() {
			*sample = time.Since(due).Nanoseconds()
			group.Done()
		})
	}
	group.Wait()
	return percentiles(samples, 0.99)
}

// What measures one repetition of a work; nil: there is no such work.
func prepare(work string, workers, count int) func() []float64 {
	// The submitting goroutine has a processor beside the workers' where it submits for long.
	runtime.GOMAXPROCS(workers)
	one := func(measure func() float64) func() []float64 { return func() []float64 { return []float64{measure()} } }
	switch {
	case work == "independent":
		runtime.GOMAXPROCS(workers + 1)
		count = (count + 63) / 64 * 64
		return one(func() float64 { return each(count, func() { loose(count, 0) }) })
	case work == "granularity-half":
		return one(func() float64 { return half(workers, count) })
	case strings.HasPrefix(work, "granularity-"):
		nanoseconds, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(work, "granularity-"), "ns"))
		if err != nil {
			return nil
		}
		rounds := int(float64(nanoseconds) * calibrate())
		return one(func() float64 { return efficiency(workers, count, rounds) })
	case work == "chain" || work == "fan" || work == "grid":
		g := build(work, count)
		return one(func() float64 { return each(len(g.before), g.run) })
	case work == "tree":
		depth := int(math.Log2(float64(count)))
		return one(func() float64 {
			return each(1<<depth-1, func() {
				var group sync.WaitGroup
				group.Add(1)
				go grow(depth-1, &group)
				group.Wait()
			})
		})
	case work == "idle-park" || work == "rate-100k":
		runtime.GOMAXPROCS(workers + 1)
		interval := map[string]time.Duration{"idle-park": time.Millisecond, "rate-100k": 10 * time.Microsecond}[work]
		return func() []float64 { return openLoop(count, interval) }
	case work == "timers-cancel":
		return one(func() float64 { return timersCancel(count) })
	case work == "timers-fire":
		runtime.GOMAXPROCS(workers + 1)
		return func() []float64 { return timersFire(count) }
	}
	return nil
}

func main() {
	number := func(i, otherwise int) int {
		if len(os.Args) <= i {
			return otherwise
		}
		value, _ := strconv.Atoi(os.Args[i])
		return value
	}
	workers, count, repetitions := number(2, 0), number(3, 0), number(4, 1)
	if len(os.Args) < 4 || len(os.Args) > 5 || workers < 1 || count < 1 || repetitions < 1 {
		fmt.Fprintln(os.Stderr, "usage: go WORK WORKERS COUNT [REPETITIONS]")
		os.Exit(64)
	}
	repetition := prepare(os.Args[1], workers, count)
	if repetition == nil {
		fmt.Fprintf(os.Stderr, "go: has no %s\n", os.Args[1])
		os.Exit(69)
	}
	repetition()
	for i := 0; i < repetitions; i++ {
		for k, figure := range repetition() {
			if k > 0 {
				fmt.Print(" ")
			}
			fmt.Printf("%.6g", figure)
		}
		fmt.Println()
	}
}
