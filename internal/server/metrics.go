package server

import (
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"coffer/internal/httpd"
)

// A meter counts what the server does. Its labels have few values, whatever anybody
// sends, and none is the name of a vault, an object or a caller.
type meter struct {
	names       Names
	registry    *prometheus.Registry
	requests    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	connections prometheus.Gauge
}

func newMeter(names Names) *meter {
	m := &meter{
		names: names, registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_requests_total", Help: "Requests that were answered, by door, collection, method and status.",
		}, []string{"door", "collection", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffer_request_duration_seconds", Help: "How long the server took for a request, by door.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"door"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "coffer_connections", Help: "Connections of clients that are open."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.connections, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe adds what the running server knows of itself.
func (m *meter) observe(core *Core, secure *certificates) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("coffer_audit_working", "1 while the audit log takes lines; at 0 nothing is served.", func() float64 {
		if core.Gate.Working() {
			return 1
		}
		return 0
	})
	gauge("coffer_tls_certificate_expiry_timestamp_seconds", "When the TLS certificate, or the authority that makes it, ends, in Unix time.", func() float64 {
		return float64(secure.expires().Unix())
	})
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coffer_build_info", Help: "1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"goversion": runtime.Version(), "format": strconv.Itoa(writeFormat)},
	}, func() float64 { return 1 }))
}

// watch counts each request, and then tells the access log.
func (m *meter) watch(access func(httpd.Access)) func(httpd.Access) {
	return func(a httpd.Access) {
		door, collection := m.place(a)
		m.requests.WithLabelValues(door, collection, method(a.Method), strconv.Itoa(a.Status)).Inc()
		m.seconds.WithLabelValues(door).Observe(a.Duration.Seconds())
		if access != nil {
			access(a)
		}
	}
}

// collections are those of the data plane; every other first word of a path is "other".
var collections = []string{"certificates", "deletedcertificates", "secrets", "deletedsecrets", "keys", "deletedkeys"}

func (m *meter) place(a httpd.Access) (door, collection string) {
	host := httpd.FoldHost(a.Host)
	switch {
	case m.names.IsVault(host):
		first, _, _ := strings.Cut(strings.TrimPrefix(a.Path, "/"), "/")
		if slices.Contains(collections, first) {
			return "vaults", first
		}
		return "vaults", "other"
	case slices.Contains(m.names.LoginHosts, host):
		return "login", ""
	case slices.Contains(m.names.ControlHosts, host):
		return "management", ""
	case slices.Contains(m.names.GraphHosts, host):
		return "directory", ""
	}
	return "other", ""
}

func method(name string) string {
	if slices.Contains([]string{"GET", "PUT", "POST", "PATCH", "DELETE"}, name) {
		return name
	}
	return "other"
}

// connection counts connections.
func (m *meter) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		m.connections.Inc()
	case http.StateClosed, http.StateHijacked:
		m.connections.Dec()
	}
}
