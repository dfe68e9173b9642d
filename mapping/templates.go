package mapping

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	tmpl "text/template"
	"text/template/parse"
	"time"

	"github.com/prometheus/alertmanager/template"
)

// Limits of one execution of a template. All are ours: what a field can use is
// far smaller, and a label from the network must not make us build more.
const (
	maxOutput = 64 << 10 // bytes that a template may write.
	maxPrintf = 1 << 20  // bytes that one printf may come to.
	// maxPasses is how often its loops may run, all in all: twice for each of the
	// 40,000 alerts that the largest webhook by default can hold.
	maxPasses = 100_000
)

// errPasses ends a template that would run for too long.
var errPasses = fmt.Errorf("its loops run more than %d times", maxPasses)

// clock says whether a template may ask for the time.
type clock bool

const (
	noClock   clock = false // a key, tier or service must come out the same on every replica.
	withClock clock = true
)

// text is a compiled template. The zero value writes nothing.
type text struct {
	path     string // where in the configuration it is, for errors.
	constant string
	label    string // the whole template is {{ .Labels.label }}.
	tmpl     *tmpl.Template
	dynamic  bool // uses a function that is bound at each execution.
}

// bindings are what the functions that depend on the call see.
type bindings struct {
	now         time.Time
	routeLabels template.KV
}

// compileText compiles src. sample is data as an execution will give it: a
// template that names a field which that data does not have is refused now, and
// not found out when it should page.
func compileText(path, src string, c clock, sample any) (*text, error) {
	t := &text{path: path}
	if !strings.Contains(src, "{{") {
		t.constant = src
		return t, nil
	}
	parsed, err := tmpl.New(path).Option("missingkey=zero").Funcs(functions()).Parse(src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plainParseError(err, path))
	}
	uses := uses{}
	if err := uses.walk(parsed.Root); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c == noClock && uses.clock {
		return nil, fmt.Errorf("%s: now and since may not be used here: every replica must come to the same result", path)
	}
	t.tmpl, t.dynamic = parsed, uses.clock || uses.routeLabels
	t.label = soleLabel(parsed.Root)
	if _, err := t.execute(sample, bindings{}); err != nil && certain(err) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// plainParseError drops the prefix "template: name:" that repeats the path.
func plainParseError(err error, path string) error {
	return errors.New(strings.TrimPrefix(err.Error(), "template: "+path+":"))
}

// certain says whether an error of a trial execution would come with any data.
// Others (an index out of range, a URL that does not parse) depend on the labels.
func certain(err error) bool {
	if errors.Is(err, errPasses) {
		return true
	}
	for _, sign := range []string{"can't evaluate field", "wrong number of args", "wrong type for value"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}

// execute runs the template. The error does not name the path.
func (t *text) execute(data any, b bindings) (out string, err error) {
	if t == nil || t.tmpl == nil {
		if t == nil {
			return "", nil
		}
		return t.constant, nil
	}
	// text/template passes runtime errors on as panics.
	defer func() {
		if r := recover(); r != nil {
			out, err = "", fmt.Errorf("template panicked: %v", r)
		}
	}()
	exe := t.tmpl
	if t.dynamic {
		if exe, err = t.tmpl.Clone(); err != nil {
			return "", err
		}
		exe.Funcs(tmpl.FuncMap{
			"now":         func() time.Time { return b.now },
			"since":       func(from time.Time) time.Duration { return b.now.Sub(from) },
			"routeLabels": func(name string) string { return b.routeLabels[name] },
		})
	}
	var w limited
	if err := exe.Execute(&w, data); err != nil {
		return "", err
	}
	return w.String(), nil
}

// limited collects up to maxOutput bytes, of up to maxPasses passes.
type limited struct {
	strings.Builder
	passes int
}

// Write refuses what would go over a limit, which ends the execution. Nothing to
// write is how a loop tells of a pass.
func (l *limited) Write(p []byte) (int, error) {
	if len(p) == 0 {
		l.passes++
	}
	if l.passes > maxPasses {
		return 0, errPasses
	}
	if l.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("output is larger than %d bytes", maxOutput)
	}
	return l.Builder.Write(p)
}

// functions are Alertmanager's, with those replaced that read the clock, panic,
// or can be made to build any amount of text by a label.
func functions() tmpl.FuncMap {
	fs := tmpl.FuncMap{}
	maps.Copy(fs, tmpl.FuncMap(template.DefaultFuncs))
	fs["now"] = func() time.Time { return time.Time{} }
	fs["since"] = func(time.Time) time.Duration { return 0 }
	fs["routeLabels"] = func(string) string { return "" }
	fs["reReplaceAll"] = func(pattern, repl, in string) (string, error) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return "", err
		}
		if len(in)*(1+len(repl)) > 256*maxOutput {
			return "", errors.New("reReplaceAll: text and replacement are too long")
		}
		return re.ReplaceAllString(in, repl), nil
	}
	fs["printf"] = printf
	return fs
}

// printf is fmt.Sprintf unless the result could be larger than maxPrintf: with
// a label as its format a width or a repeated verb can ask for gigabytes.
func printf(format string, args ...any) (string, error) {
	longest := 0
	for _, a := range args {
		longest = max(longest, len(fmt.Sprint(a)))
	}
	size, number := len(format), 0
	for _, r := range format {
		switch r {
		case '%':
			size += 6 * longest // the widest verb, %+q, writes an escape of six for a byte.
		case '*':
			size += maxPrintf
		}
		if r < '0' || r > '9' {
			size, number = size+number, 0
			continue
		}
		number = min(10*number+int(r-'0'), maxPrintf)
	}
	if size > maxPrintf {
		return "", fmt.Errorf("printf: the result could be larger than %d bytes", maxPrintf)
	}
	return fmt.Sprintf(format, args...), nil
}

// uses is what a template asks for beside its data.
type uses struct{ clock, routeLabels bool }

// walk notes the functions under n, and has its loops counted.
func (u *uses) walk(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return each(n.Nodes, u.walk)
	case *parse.ActionNode:
		return u.walk(n.Pipe)
	case *parse.PipeNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Cmds {
			if err := each(c.Args, u.walk); err != nil {
				return err
			}
		}
		return nil
	case *parse.ChainNode:
		return u.walk(n.Node)
	case *parse.IdentifierNode:
		u.clock = u.clock || n.Ident == "now" || n.Ident == "since"
		u.routeLabels = u.routeLabels || n.Ident == "routeLabels"
		return nil
	case *parse.IfNode:
		return u.branch(&n.BranchNode)
	case *parse.WithNode:
		return u.branch(&n.BranchNode)
	case *parse.RangeNode:
		// Whatever it runs over (a number, a variable, what a function returns, the loop
		// around it), each pass begins with an empty text, which limited counts.
		n.List.Nodes = append([]parse.Node{&parse.TextNode{NodeType: parse.NodeText}}, n.List.Nodes...)
		return u.branch(&n.BranchNode)
	case *parse.TemplateNode:
		return fmt.Errorf("template %q cannot be called here: only the text itself is a template", n.Name)
	default:
		return nil
	}
}

func (u *uses) branch(b *parse.BranchNode) error {
	return errors.Join(u.walk(b.Pipe), u.walk(b.List), u.walk(b.ElseList))
}

func each(nodes []parse.Node, f func(parse.Node) error) error {
	for _, n := range nodes {
		if err := f(n); err != nil {
			return err
		}
	}
	return nil
}

// soleLabel returns x of a template that is {{ .Labels.x }} and nothing else:
// most tiers are, and reading the label costs a tenth of an execution.
func soleLabel(root *parse.ListNode) string {
	if len(root.Nodes) != 1 {
		return ""
	}
	a, ok := root.Nodes[0].(*parse.ActionNode)
	if !ok || len(a.Pipe.Decl) > 0 || len(a.Pipe.Cmds) != 1 || len(a.Pipe.Cmds[0].Args) != 1 {
		return ""
	}
	f, ok := a.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
	if !ok || len(f.Ident) != 2 || f.Ident[0] != "Labels" {
		return ""
	}
	switch f.Ident[1] {
	case "SortedPairs", "Remove", "Names", "Values", "String": // methods of template.KV.
		return ""
	}
	return f.Ident[1]
}
