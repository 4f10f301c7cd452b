package grpcapi

import (
	"context"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func namespaceMessage(ns *fsm.Namespace) *callboardv1.Namespace {
	return &callboardv1.Namespace{NamespaceId: ns.ID.String(), Name: ns.Name, DisplayName: ns.DisplayName, CreateTs: ns.CreateMs}
}

// List answers with the namespaces by name, or with the one of a name.
func (s *namespaceService) List(ctx context.Context, req *callboardv1.NamespaceServiceListRequest) (*callboardv1.NamespaceServiceListResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	q := ask(listNamespaces, req.GetName())
	after, err := q.name(req.GetCursor())
	if err != nil {
		return nil, err
	}
	view, err := s.view(ctx, req.GetConsistency())
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.NamespaceServiceListResponse{Index: view.Index()}
	if req.GetName() != "" {
		if ns := view.Namespace(req.GetName()); ns != nil {
			answer.Namespaces = append(answer.Namespaces, namespaceMessage(ns))
		}
		return answer, nil
	}
	for ns := range view.Namespaces(after) {
		if n := len(answer.Namespaces); n == limit {
			answer.NextCursor = q.cursorAtName(answer.Namespaces[n-1].GetName())
			break
		}
		answer.Namespaces = append(answer.Namespaces, namespaceMessage(ns))
	}
	return answer, nil
}

// Create makes a namespace.
func (s *namespaceService) Create(ctx context.Context, req *callboardv1.NamespaceServiceCreateRequest) (*callboardv1.NamespaceServiceCreateResponse, error) {
	if err := checkNewNamespace(req); err != nil {
		return nil, err
	}
	display := req.GetDisplayName()
	if display == "" {
		display = req.GetName()
	}
	_, view, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_CreateNamespace{
		CreateNamespace: &callboardv1.NamespaceServiceCreateRequest{Name: req.GetName(), DisplayName: display},
	}})
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.NamespaceServiceCreateResponse{Index: index}
	if ns := view.Namespace(req.GetName()); ns != nil {
		answer.Namespace = namespaceMessage(ns)
	}
	return answer, nil
}

func checkNewNamespace(req *callboardv1.NamespaceServiceCreateRequest) error {
	switch { // the display name has its rule in the scheduler
	case req.GetName() == "":
		return badField("name", "name is missing")
	case !fsm.ValidName(req.GetName()):
		return callboardv1.Refuse("namespace", "failed_to_create", "name %q is not valid: want 1 to 64 of a-z, 0-9 and dash, with no leading, trailing or double dash", clip(req.GetName())).With("field", "name")
	}
	return nil
}
