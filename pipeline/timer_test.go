package pipeline

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := sleep(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("slept %v, %v; want 1h", time.Since(began), err)
		}
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(stop) })
		began = time.Now()
		if err := sleep(ctx, time.Hour); !errors.Is(err, stop) || time.Since(began) != time.Minute {
			t.Errorf("slept %v, %v; want the cause after 1m", time.Since(began), err)
		}
	})
}

// P35: many who find their links expired fetch the manifest once.
func TestP35RenewOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int64
		l := &links{files: map[string]export.File{"k": {}}}
		l.fetch = func(ctx context.Context) (map[string]export.File, error) {
			fetched.Add(1)
			return map[string]export.File{"k": {URL: "fresh"}}, sleep(ctx, time.Second)
		}
		_, round, _ := l.get("k")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				// Half of them come when the links are fresh already.
				time.Sleep(time.Duration(i/10) * time.Minute)
				if err := l.renew(t.Context(), round); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if f, now, _ := l.get("k"); fetched.Load() != 1 || f.URL != "fresh" || now != round+1 {
			t.Errorf("fetched %d times, round %d to %d, %q", fetched.Load(), round, now, f.URL)
		}
	})
}

// I8: conversions wait for their share, and none has all of it.
func TestI8Budget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(128 << 20)
		if b.total != 96<<20 {
			t.Fatalf("total %d", b.total)
		}
		small, err := b.take(t.Context(), 1)
		if err != nil || small != minShare {
			t.Errorf("share of a small type = %d, %v; want %d", small, err, minShare)
		}
		large, err := b.take(t.Context(), 1<<40)
		if err != nil || large != b.total/2 {
			t.Errorf("share of a large type = %d, %v; want half of %d", large, err, b.total)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if _, err := b.take(ctx, 1<<40); err == nil || time.Since(began) != time.Hour {
			t.Errorf("a second large type got its share at once: %v", err)
		}
		b.give(large)
		if again, err := b.take(t.Context(), 1<<40); err != nil || again != large {
			t.Errorf("share after it was given back = %d, %v", again, err)
		}
		if tiny := newBudget(1); tiny.total != minShare {
			t.Errorf("the smallest budget is %d, want %d", tiny.total, minShare)
		}
	})
}

func TestObserverThrottlesAndSerializes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []Event
		busy := false
		o := &observer{now: time.Now, job: "j", run: "r", state: Landing, tell: func(e Event) {
			if busy {
				t.Error("told concurrently")
			}
			busy = true
			events = append(events, e)
			busy = false
		}}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					o.count(func(p *Progress) { p.BytesRead++ })
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		o.event(Event{Kind: "type", Type: "Patient"})
		last := events[len(events)-1]
		if n := len(events) - 1; n < 4 || n > 6 {
			t.Errorf("%d progress events in a second, want about 5", n)
		}
		if last.Progress.BytesRead != 400 || last.State != Landing || last.Run != "r" || last.Job != "j" || last.Time.IsZero() {
			t.Errorf("last event %+v", last)
		}
	})
}

// Whatever the clients are configured with reaches the server: the run works
// with copies of them that count.
func TestClientsAreCopiedWhole(t *testing.T) {
	hc := &http.Client{Timeout: 7}
	fill := func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Field(i)
			switch {
			case !f.CanSet():
			case f.Type() == reflect.TypeOf(hc):
				f.Set(reflect.ValueOf(hc))
			case f.CanInt():
				f.SetInt(3)
			case f.Kind() == reflect.Bool:
				f.SetBool(true)
			case f.Kind() == reflect.Pointer:
				f.Set(reflect.New(f.Type().Elem()))
			case f.Kind() == reflect.Struct:
				f.Field(0).SetInt(3)
			case f.Kind() == reflect.Func:
				f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { return nil }))
			}
		}
	}
	r := &Runner{Bulk: &export.Client{}, Search: &search.Client{}}
	fill(reflect.ValueOf(r.Bulk).Elem())
	fill(reflect.ValueOf(r.Search).Elem())
	x := r.newExecution(Options{}, ledger.Run{})
	for _, v := range []reflect.Value{reflect.ValueOf(x.bulk).Elem(), reflect.ValueOf(x.search).Elem()} {
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && v.Field(i).IsZero() {
				t.Errorf("%s.%s is not taken over", v.Type(), f.Name)
			}
		}
	}
	if x.bulk.HTTP.Timeout != 7 {
		t.Error("the HTTP client's timeout is lost")
	}
}
