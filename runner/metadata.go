package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
)

// maxMetadataAnswer bounds what /metadata may answer: more is an error.
const maxMetadataAnswer = 1 << 20

func isURL(target string) bool {
	return strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")
}

// resolve returns the gRPC address behind a target: itself, or one of those that a URL's /metadata names.
func (k *link) resolve(l *loop) (string, error) {
	if !isURL(k.target) {
		return k.target, nil
	}
	addrs, err := askMetadata(k.ctx, l.cfg, k.target)
	if err != nil {
		return "", err
	}
	l.post(linkLearnt{targets: addrs})
	return addrs[rand.IntN(len(addrs))], nil
}

func askMetadata(ctx context.Context, cfg Config, endpoint string) ([]string, error) {
	endpoint = strings.TrimRight(endpoint, "/") + "/metadata"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, err
	}
	if cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+cfg.Token)
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return cfg.Dial(ctx, addr) },
		TLSClientConfig:   cfg.TLS.Clone(),
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", endpoint, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMetadataAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", endpoint, err)
	}
	if len(body) > maxMetadataAnswer {
		return nil, fmt.Errorf("GET %s: the answer is larger than %d bytes", endpoint, maxMetadataAnswer)
	}
	var answer struct {
		GRPCAddrs []string `json:"grpc_addrs"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("GET %s: %w", endpoint, err)
	}
	if len(answer.GRPCAddrs) == 0 {
		return nil, errors.New("GET " + endpoint + ": the answer names no grpc_addrs; is it a Callboard engine?")
	}
	return answer.GRPCAddrs, nil
}
