"""Take out the scripts of sphinx-thebe, which Jupyter Book always loads.

The book has no live cells, and the scripts would be declared twice on each page: an error in every reader's console.
"""


def drop_scripts(app, pagename, templatename, context, doctree):
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script.filename}{script.attributes.get('body', '')}".lower()
    ]


def setup(app):
    app.connect("html-page-context", drop_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
