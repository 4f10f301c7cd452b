package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type namespaceBody struct {
	NamespaceID string `json:"namespace_id"`
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	CreateTs    int64  `json:"create_ts"`
}

func namespaceOf(m *callboardv1.Namespace) namespaceBody {
	return namespaceBody{NamespaceID: m.GetNamespaceId(), Name: m.GetName(), DisplayName: m.GetDisplayName(), CreateTs: m.GetCreateTs()}
}

type listNamespacesInput struct {
	ReadParams
	PageParams
	Name         string   `query:"name"`
	NamespaceIDs string   `query:"namespace_ids" doc:"Ids, separated by commas."`
	NamespaceID  []string `query:"namespace_id,explode" doc:"An id; may be repeated."`
}

type namespacesBody struct {
	Namespaces []namespaceBody `json:"namespaces"`
	Pagination pagination      `json:"pagination"`
}

type createNamespaceInput struct {
	WriteParams
	Body struct {
		Name        string `json:"name" doc:"1 to 64 of a-z, 0-9 and dash, with no leading, trailing or double dash."`
		DisplayName string `json:"display_name" doc:"At most 128 characters, with single spaces between words; empty: the name."`
	}
}

type oneNamespaceBody struct {
	Namespace namespaceBody `json:"namespace"`
}

func (a *api) registerNamespaces() {
	register(a, huma.Operation{OperationID: "namespaces_list", Method: http.MethodGet, Path: "/namespaces", Summary: "List namespaces"}, a.listNamespaces)
	register(a, huma.Operation{OperationID: "namespaces_create", Method: http.MethodPost, Path: "/namespaces", Summary: "Create a namespace"}, a.createNamespace)
}

// namespacesPage is how many namespaces a page has when the caller does not say.
const namespacesPage = 1000

func (a *api) listNamespaces(ctx context.Context, in *listNamespacesInput) (*answer[namespacesBody], error) {
	ids := append(commaList(in.NamespaceIDs), in.NamespaceID...)
	if in.Limit == 0 {
		in.Limit = namespacesPage
	}
	out := &answer[namespacesBody]{Body: namespacesBody{Namespaces: []namespaceBody{}}}
	req := &callboardv1.NamespaceServiceListRequest{Name: in.Name, Limit: in.limit(), Cursor: in.Cursor, Consistency: in.consistency()}
	for {
		page, err := a.Namespaces.List(ctx, req)
		if err != nil {
			return nil, err
		}
		out.Index = indexText(page.GetIndex())
		for _, m := range page.GetNamespaces() {
			if len(ids) == 0 || slices.Contains(ids, m.GetNamespaceId()) {
				out.Body.Namespaces = append(out.Body.Namespaces, namespaceOf(m))
			}
		}
		if len(ids) == 0 {
			out.Body.Pagination = paginate(page.GetNextCursor())
			return out, nil
		}
		// Ids are looked for among all: they come in one page.
		if req.Cursor = page.GetNextCursor(); req.Cursor == "" || len(out.Body.Namespaces) >= len(ids) {
			return out, nil
		}
	}
}

func (a *api) createNamespace(ctx context.Context, in *createNamespaceInput) (*answer[oneNamespaceBody], error) {
	made, err := a.Namespaces.Create(ctx, &callboardv1.NamespaceServiceCreateRequest{
		Name: in.Body.Name, DisplayName: in.Body.DisplayName, IdempotencyKey: in.IdempotencyKey,
	})
	if err != nil {
		return nil, err
	}
	return &answer[oneNamespaceBody]{Index: indexText(made.GetIndex()), Body: oneNamespaceBody{namespaceOf(made.GetNamespace())}}, nil
}
