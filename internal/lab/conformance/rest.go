package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
)

const restFile = "rest-v2.json"

// REST loads the description of REST, as Events does that of the Events API.
//
// Where its schemas contradict its own text, the text is followed: what it calls
// null may be null, and with include[] a whole object stands where the schema
// has a reference to it. A status that an operation does not list, but that
// PagerDuty answers everywhere (400, 401, 402, 403, 404, 429 and 500), is held to
// the component that describes it.
func REST(t testing.TB) *Spec {
	t.Helper()
	s, err := load(file(t, restFile), "")
	if err == nil {
		err = s.mendREST()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Spec) mendREST() error {
	m := mender{schemas: s.doc.Components.Schemas}
	m.nullable("Oncall", "start", "end", "schedule")
	m.nullable("ScheduleLayer", "end", "rendered_coverage_percentage")
	m.nullable("ScheduleLayerEntry", "end")
	m.nullable("SubSchedule", "rendered_coverage_percentage")
	m.orWhole("EscalationPolicyReference", "EscalationPolicy")
	m.orWhole("UserReference", "User")
	m.orWhole("IntegrationReference", "Integration")
	m.orWhole("NotificationRuleReference", "NotificationRule")
	m.orWhole("ContactMethodReference", "PhoneContactMethod", "PushContactMethod", "EmailContactMethod", "WhatsAppContactMethod")
	if err := errors.Join(m.faults...); err != nil {
		return err
	}
	for path, item := range s.doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, name := range everywhere() {
				if status == http.StatusBadRequest && strings.HasPrefix(path, "/v3/") {
					name = "BadRequest" // the only answer that has a shape of its own there.
				}
				response := s.doc.Components.Responses[name]
				if response == nil {
					return fmt.Errorf("the description has no components/responses/%s", name)
				}
				if op.Responses.Status(status) == nil {
					op.AddResponse(status, response.Value)
				}
			}
		}
	}
	s.doc.Servers = nil // any host may be asked.
	router, err := legacy.NewRouter(s.doc, openapi3.DisableExamplesValidation())
	if err != nil {
		return fmt.Errorf("route requests: %w", err)
	}
	s.router = router
	return nil
}

// everywhere are the components of the answers that any operation may give.
func everywhere() map[int]string {
	return map[int]string{
		http.StatusBadRequest:          "ArgumentError",
		http.StatusUnauthorized:        "Unauthorized",
		http.StatusPaymentRequired:     "PaymentRequired",
		http.StatusForbidden:           "Forbidden",
		http.StatusNotFound:            "NotFound",
		http.StatusTooManyRequests:     "TooManyRequests",
		http.StatusInternalServerError: "InternalServerError",
	}
}

// mender changes schemas in place: every reference to one sees the change.
type mender struct {
	schemas openapi3.Schemas
	faults  []error
}

func (m *mender) schema(name string) *openapi3.Schema {
	ref := m.schemas[name]
	if ref == nil || ref.Value == nil {
		m.faults = append(m.faults, fmt.Errorf("the description has no components/schemas/%s", name))
		return &openapi3.Schema{}
	}
	return ref.Value
}

// nullable lets properties be null.
func (m *mender) nullable(name string, properties ...string) {
	schema := m.schema(name)
	for _, property := range properties {
		var found *openapi3.SchemaRef
		for _, part := range append(openapi3.SchemaRefs{{Value: schema}}, schema.AllOf...) {
			if p := part.Value.Properties[property]; p != nil {
				found = p
			}
		}
		if found == nil {
			m.faults = append(m.faults, fmt.Errorf("components/schemas/%s has no %s", name, property))
			continue
		}
		was := *found.Value
		*found.Value = openapi3.Schema{AnyOf: openapi3.SchemaRefs{{Value: &was}, {Value: null()}}}
	}
}

// null allows nothing but null.
func null() *openapi3.Schema {
	s := openapi3.NewObjectSchema().WithNullable()
	s.Enum = []any{nil}
	return s
}

// orWhole lets one of wholes stand in place of reference.
func (m *mender) orWhole(reference string, wholes ...string) {
	schema := m.schema(reference)
	was := *schema
	either := openapi3.SchemaRefs{{Value: &was}}
	for _, whole := range wholes {
		either = append(either, &openapi3.SchemaRef{Value: m.schema(whole)})
	}
	*schema = openapi3.Schema{AnyOf: either}
}

// authenticated is what REST wants of the Authorization header.
func authenticated(_ context.Context, input *openapi3filter.AuthenticationInput) error {
	auth := input.RequestValidationInput.Request.Header.Get("Authorization")
	for _, scheme := range []string{"Token token=", "Bearer "} {
		if token, ok := strings.CutPrefix(auth, scheme); ok && token != "" {
			return nil
		}
	}
	return errors.New("the Authorization header has no token")
}
