package mapping

import (
	"fmt"
	"maps"
	"slices"
)

// eventTexts are compiled EventTemplates; nil means the built-in default.
type eventTexts struct {
	summary, source, component, group, class, client, clientURL *text

	details []detailText // sorted by name.
	links   []linkText
	images  []imageText
}

type detailText struct {
	name string
	text *text
}

type linkText struct{ href, text *text }

type imageText struct{ src, href, alt *text }

// event compiles cfg over what is inherited: a field that is set replaces the
// inherited one, details join the inherited ones name by name.
func (c *compiler) event(path string, cfg EventTemplates, inherited *eventTexts) *eventTexts {
	e := *inherited
	for _, f := range []struct {
		name, src string
		to        **text
	}{
		{"summary", cfg.Summary, &e.summary},
		{"source", cfg.Source, &e.source},
		{"component", cfg.Component, &e.component},
		{"group", cfg.Group, &e.group},
		{"class", cfg.Class, &e.class},
		{"client", cfg.Client, &e.client},
		{"client_url", cfg.ClientURL, &e.clientURL},
	} {
		if f.src != "" {
			*f.to = c.eventText(path+"."+f.name, f.src)
		}
	}
	if e.clientURL != inherited.clientURL {
		c.constantURL(e.clientURL, false)
	}
	if len(cfg.Details) > 0 {
		e.details = c.details(path+".details", cfg.Details, inherited.details)
	}
	if cfg.Links != nil {
		e.links = nil
		for i, l := range cfg.Links {
			at := fmt.Sprintf("%s.links[%d]", path, i)
			href := c.required(at+".href", l.Href)
			c.constantURL(href, false)
			e.links = append(e.links, linkText{href, c.eventText(at+".text", l.Text)})
		}
	}
	if cfg.Images != nil {
		e.images = nil
		for i, im := range cfg.Images {
			at := fmt.Sprintf("%s.images[%d]", path, i)
			src := c.required(at+".src", im.Src)
			c.constantURL(src, true)
			href := c.eventText(at+".href", im.Href)
			c.constantURL(href, false)
			e.images = append(e.images, imageText{src, href, c.eventText(at+".alt", im.Alt)})
		}
	}
	if e.empty(inherited) {
		return inherited // ten thousand rules without templates share one.
	}
	return &e
}

// empty says whether e sets nothing that inherited does not.
func (e *eventTexts) empty(inherited *eventTexts) bool {
	i := inherited
	return e.summary == i.summary && e.source == i.source && e.component == i.component && e.group == i.group &&
		e.class == i.class && e.client == i.client && e.clientURL == i.clientURL &&
		slices.Equal(e.details, i.details) && slices.Equal(e.links, i.links) && slices.Equal(e.images, i.images)
}

func (c *compiler) details(path string, cfg map[string]string, inherited []detailText) []detailText {
	all := map[string]*text{}
	for _, d := range inherited {
		all[d.name] = d.text
	}
	for _, name := range slices.Sorted(maps.Keys(cfg)) {
		if name == "" {
			c.fault(path, "a detail needs a name")
		}
		all[name] = c.eventText(path+"."+name, cfg[name])
	}
	out := make([]detailText, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, detailText{name, all[name]})
	}
	return out
}

func (c *compiler) eventText(path, src string) *text {
	return c.text(path, src, withClock, sampleEventData())
}

func (c *compiler) required(path, src string) *text {
	if src == "" {
		c.fault(path, "it is empty")
	}
	return c.eventText(path, src)
}

// constantURL checks a URL that needs no alert to be known.
func (c *compiler) constantURL(t *text, image bool) {
	if t.tmpl != nil || t.constant == "" {
		return
	}
	if _, ok := webURL(t.constant, image); !ok {
		kind := "an absolute http or https URL"
		if image {
			kind = "an absolute https URL (PagerDuty shows no other image)"
		}
		c.fault(t.path, "%q is not %s of at most %d bytes", t.constant, kind, maxURL)
	}
}
