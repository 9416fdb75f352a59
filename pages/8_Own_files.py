"""Own files: a checkpoint or an image of one's own, looked through before anything is loaded, then used on every page."""

import streamlit as st

from pages.shared.own_files import checkpoint as uploaded_checkpoint, image as uploaded_image
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.errors import CannotCompute
from stiffcore.storage import uploads

style = navigation.page("Own files")
st.title("Own files")
st.caption(
    "A network or an image of your own, for every page. Files stay on the machine that runs this app, where everybody "
    "who uses it can choose them; nothing in them is ever executed."
)
try:
    uploads.check_uploads()
except CannotCompute as error:
    st.info(str(error), icon=":material/block:")
    controls.notes()
    st.stop()

noted = st.container()
network, image = panels.responsive_columns([1, 1])
with network, panels.error_boundary():
    st.subheader("A network")
    uploaded_checkpoint.upload()
    uploaded_checkpoint.there()
with image, panels.error_boundary():
    st.subheader("An image")
    uploaded_image.upload()
    uploaded_image.there()
with noted:  # also where a file is refused, or none is there
    controls.notes()
