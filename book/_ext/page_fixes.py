"""Two things that Jupyter Book always does and this book does without.

- sphinx-thebe's scripts: there are no live cells, and each page would declare the scripts twice, an error in every
  reader's console.
- Sphinx's numbers on tables and figures: captions carry the paper's own numbers, and "Table 9: Table 4" would mislead.
"""


def drop_scripts(app, pagename, templatename, context, doctree):
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script.filename}{script.attributes.get('body', '')}".lower()
    ]


def drop_numbers(app, config):
    config["numfig"] = False  # set in _config.yml it would be overridden by Jupyter Book's own extensions


def setup(app):
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("config-inited", drop_numbers, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
